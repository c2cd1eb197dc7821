//! Bodies that are not what their `Content-Encoding` says, or far more than they look.

use super::case::Expect::{Fine, Items, Problem};
use super::case::{
    Case, JOB_BYTES, JSON, MALFORMED, NDJSON, TOO_LARGE, TOO_SLOW, case, check, post, raw, with,
};
use crate::support::coded::{Coding, encode, gzip_of_zeros, zstd_of_one_byte};

#[tokio::test]
async fn codings() {
    check(cases().await).await;
}

pub async fn cases() -> Vec<Case> {
    [
        names(),
        broken(Coding::Gzip, "gzip").await,
        broken(Coding::Zstd, "zstd").await,
        bombs().await,
        batches().await,
    ]
    .concat()
}

const UNSUPPORTED: super::case::Expect = Problem(415, "unsupported_media_type");

fn coded(coding: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    post("/v1/jobs", &format!("content-encoding: {coding}\r\n"), body)
}

fn names() -> Vec<Case> {
    let wrong = [
        "br",
        "deflate",
        "compress",
        "gzip2",
        "gzip;q=1",
        "*",
        "\"gzip\"",
        "\u{e9}",
        "gzip, gzip",
        "gzip, zstd",
        "gzip,br",
        "gzip\r\ncontent-encoding: gzip",
        "zstd\r\ncontent-encoding: br",
    ];
    let mut cases: Vec<_> =
        wrong.map(|names| case(format!("the coding {names:?}"), coded(names, "{}"), UNSUPPORTED)).to_vec();
    for names in ["identity", "", ",", "Identity, identity"] {
        cases.push(case(format!("the coding {names:?}"), coded(names, "{}"), Fine(202)));
    }
    for path in ["/v1/leases", "/v1/leases/ack"] {
        let call = post(path, "content-encoding: gzip\r\n", r#"{"leases":[]}"#);
        cases.push(case(format!("{path} in gzip"), call, UNSUPPORTED));
    }
    cases.push(case("a job that accepts no coding", with("accept-encoding: identity;q=0, *;q=0"), Fine(202)));
    cases
}

/// One good body, broken in each way.
async fn broken(coding: Coding, name: &str) -> Vec<Case> {
    let text = "{\"type\":\"order\"} ".repeat(100);
    let good = encode(coding, text.as_bytes()).await;
    let noise: Vec<u8> =
        (0..JOB_BYTES as u64 + 1000).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    let mut cases = Vec::new();
    let mut add = |what: String, body: Vec<u8>, expect| {
        cases.push(case(format!("{name}: {what}"), coded(name, body), expect));
    };
    add("good".into(), good.clone(), Fine(202));
    add("twice in a row".into(), [good.clone(), good.clone()].concat(), Fine(202));
    add("nothing".into(), Vec::new(), MALFORMED);
    add("plain text".into(), b"{}".to_vec(), MALFORMED);
    add("zeros".into(), vec![0; 100], MALFORMED);
    add("coded in itself, said once".into(), encode(coding, &good).await, Fine(202));
    for end in [1, 2, 5, good.len() / 2, good.len() - 1] {
        add(format!("cut off after {end} bytes"), good[..end].to_vec(), MALFORMED);
    }
    add("garbage behind it".into(), [good.as_slice(), b"garbage"].concat(), MALFORMED);
    add("a zero behind it".into(), [good.as_slice(), b"\0"].concat(), MALFORMED);
    add("half of another behind it".into(), [good.as_slice(), &good[..good.len() / 2]].concat(), MALFORMED);
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 0x55;
    if coding == Coding::Gzip {
        // A frame of zstd need not have a checksum.
        add("a byte changed".into(), flipped, MALFORMED);
        let mut sum = good.clone();
        sum[good.len() - 5] ^= 1;
        add("another checksum".into(), sum, MALFORMED);
        let mut length = good.clone();
        length[good.len() - 1] ^= 1;
        add("another length".into(), length, MALFORMED);
    }
    add("noise beyond the limit".into(), encode(coding, &noise).await, TOO_LARGE);
    add("exactly the limit".into(), encode(coding, &vec![b'x'; JOB_BYTES]).await, Fine(202));
    add("a byte beyond the limit".into(), encode(coding, &vec![b'x'; JOB_BYTES + 1]).await, TOO_LARGE);
    let slow = raw(
        "POST /v1/jobs HTTP/1.1",
        &format!("content-encoding: {name}\r\ncontent-length: {}\r\n", good.len()),
    );
    cases.push(case(format!("{name}: half, then silence"), [slow, good[..20].to_vec()].concat(), TOO_SLOW));
    let declared = format!("content-encoding: {name}\r\ncontent-length: {}\r\n", JOB_BYTES + 1);
    cases.push(case(
        format!("{name}: declared beyond the limit"),
        raw("POST /v1/jobs HTTP/1.1", &declared),
        TOO_LARGE,
    ));
    cases
}

async fn bombs() -> Vec<Case> {
    let (begins, goes_on) = gzip_of_zeros().await;
    let gzip = [begins, goes_on.repeat(10)].concat();
    let zstd = zstd_of_one_byte(b"", 0, 30_000);
    let mut wide = zstd_of_one_byte(b"", 0, 1);
    // A window of a terabyte.
    wide[5] = 30 << 3;
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0x7f][..], b"x"].concat();
    vec![
        case("gzip: 44 MiB of zeros", coded("gzip", gzip), TOO_LARGE),
        case("zstd: 4 GB of zeros", coded("zstd", zstd), TOO_LARGE),
        case("zstd: a window of a terabyte", coded("zstd", wide), MALFORMED),
        case("zstd: a frame of 2 GB to skip", coded("zstd", skipped), MALFORMED),
    ]
}

async fn batches() -> Vec<Case> {
    let lines = encode(Coding::Gzip, b"{}\n{}\n").await;
    let of = |media: &str, body: &[u8]| {
        post("/v1/jobs/batch", &format!("{media}content-encoding: gzip\r\n"), body)
    };
    let blanks = zstd_of_one_byte(b"", b'\n', 30_000);
    vec![
        case("lines in gzip", of(NDJSON, &lines), Items(202, &["202", "202"])),
        case("lines in gzip, cut off at once", of(NDJSON, &lines[..5]), MALFORMED),
        case("an array in gzip, cut off", of(JSON, &encode(Coding::Gzip, b"[1,2]").await[..9]), MALFORMED),
        case("an array that is not in gzip", of(JSON, b"[1,2]"), MALFORMED),
        case(
            "lines in br",
            post("/v1/jobs/batch", &format!("{NDJSON}content-encoding: br\r\n"), "{}\n"),
            UNSUPPORTED,
        ),
        case(
            "4 GB of blank lines in zstd",
            post("/v1/jobs/batch", &format!("{NDJSON}content-encoding: zstd\r\n"), blanks),
            TOO_LARGE,
        ),
    ]
}
