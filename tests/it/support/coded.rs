//! Compressed bodies, honest ones and bombs.

use async_compression::tokio::write::GzipEncoder;
use tokio::io::AsyncWriteExt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Zstd,
}

/// One member or frame.
pub async fn encode(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Gzip => {
            let mut encoder = GzipEncoder::new(Vec::new());
            encoder.write_all(bytes).await.unwrap();
            encoder.shutdown().await.unwrap();
            encoder.into_inner()
        }
        Coding::Zstd => {
            let mut frame = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
            zstd_safe::compress(&mut frame, bytes, 3).unwrap();
            frame
        }
    }
}

/// The beginning of a gzip member, and 4 MiB of zeros as its stream goes on with them, again and again.
pub async fn gzip_of_zeros() -> (Vec<u8>, Vec<u8>) {
    let zeros = vec![0; 4 << 20];
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(&zeros).await.unwrap();
    encoder.flush().await.unwrap();
    let begins = encoder.get_ref().clone();
    encoder.write_all(&zeros).await.unwrap();
    encoder.flush().await.unwrap();
    let goes_on = encoder.get_ref()[begins.len()..].to_vec();
    assert!(zeros.len() / goes_on.len() > 1_000, "{} bytes", goes_on.len());
    (begins, goes_on)
}

/// A zstd frame with a window of 8 MiB: this text, then so many blocks of 128 KiB of one byte, in four bytes each.
pub fn zstd_of_one_byte(text: &[u8], byte: u8, blocks: usize) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3];
    let raw = u32::try_from(text.len()).unwrap() << 3;
    frame.extend(&raw.to_le_bytes()[..3]);
    frame.extend(text);
    for block in 1..=blocks {
        let last = u8::from(block == blocks);
        frame.extend([2 | last, 0, 0x10, byte]);
    }
    frame
}

/// One chunk of a chunked body.
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}
