//! The keys of the configuration that concern who calls: proxies, origins of pages, and what one client may send.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use http::{HeaderValue, Uri};
use ipnet::IpNet;

use crate::server::client_limit::ClientRate;
use crate::server::client_limit::forwarded::TrustedProxies;
use crate::server::cors::Origins;
use crate::yaml::decode::Field;

/// `ingest.trusted_proxies`: networks or single addresses.
pub(super) fn proxies(field: &Field<'_>) -> Option<TrustedProxies> {
    let network = |item: &Field<'_>| {
        item.scalar("a network such as 10.0.0.0/8, or an address", |text| {
            text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        })
    };
    Some(TrustedProxies::new(field.list()?.iter().filter_map(network).collect()))
}

/// `ingest.cors`.
pub(super) fn cors(field: &Field<'_>) -> Option<Origins> {
    let mut map = field.mapping()?;
    let mut origins = Origins::None;
    map.set("origins", &mut origins, |field| {
        let items = field.list()?;
        let texts: Vec<String> = items.iter().filter_map(Field::text).collect();
        match texts.as_slice() {
            [] => Some(Origins::None),
            [all] if all == "*" => Some(Origins::Any),
            _ => Some(Origins::Listed(items.iter().filter_map(origin).collect())),
        }
    });
    map.close();
    Some(origins)
}

/// An origin as a browser sends it: scheme, host and perhaps port, nothing behind them.
fn origin(field: &Field<'_>) -> Option<HeaderValue> {
    field.scalar("an origin such as https://app.example:8443, or * as the only one", |text| {
        let uri: Uri = text.parse().ok()?;
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
        let as_sent = format!("{scheme}://{authority}");
        let fits = matches!(scheme, "http" | "https")
            && !authority.as_str().contains(['@', '*'])
            && text == as_sent.to_ascii_lowercase();
        fits.then(|| HeaderValue::from_str(text).ok()).flatten()
    })
}

/// `limits.client_rate`; without a rate there is no bound.
pub(super) fn rate(field: &Field<'_>) -> Option<Option<ClientRate>> {
    let mut map = field.mapping()?;
    let (mut per_second, mut burst) = (0.0, 0);
    map.set("per_second", &mut per_second, |field| field.number_within(0.0, MOST_PER_SECOND));
    map.set("burst", &mut burst, |field| field.integer_within(0, MOST_BURST));
    map.close();
    if per_second == 0.0 {
        if burst > 0 {
            field.at(&["burst"]).refuse("needs a per_second above 0: without one there is no bound");
        }
        return Some(None);
    }
    if per_second < LEAST_PER_SECOND {
        field.at(&["per_second"]).refuse(format!("expects 0, or at least {LEAST_PER_SECOND}"));
        return None;
    }
    let period = Duration::from_secs_f64(1.0 / per_second);
    // Without a burst of its own, what is earned in a second.
    let earned = Duration::from_secs(1).as_nanos().div_ceil(period.as_nanos().max(1));
    let burst = if burst > 0 { u128::from(burst) } else { earned };
    let burst = u32::try_from(burst).ok().and_then(NonZeroU32::new)?;
    Some(Some(ClientRate { period, burst }))
}

/// More requests per second come from no single client.
const MOST_PER_SECOND: f64 = 1_000_000.0;

/// One a day; less is a slip of the pen.
const LEAST_PER_SECOND: f64 = 0.000_01;

/// As many as a client may send in a second at the highest rate.
const MOST_BURST: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::fault::{FaultLog, Faults};
    use crate::yaml::read::read;

    fn decoded<T>(text: &str, decode: impl FnOnce(&Field<'_>) -> Option<T>) -> Result<T, String> {
        let node = read(text).unwrap();
        let log = FaultLog::default();
        let value = decode(&Field::root(&node, &log).at(&["k"]));
        let faults = Faults { document: "f".to_owned(), list: log.into_list() };
        if faults.list.is_empty() { Ok(value.unwrap()) } else { Err(faults.to_string()) }
    }

    #[test]
    fn proxies_are_networks_or_addresses() {
        assert!(decoded("k: [10.0.0.0/8, 'fd00::/8', 192.0.2.7, '::1']", proxies).is_ok());
        let told = decoded("k: [10.0.0.0/33, proxy.example]", proxies).unwrap_err();
        assert_eq!(told.lines().count(), 2, "{told}");
        assert!(told.contains(
            "f:1:5: k[0]: expects a network such as 10.0.0.0/8, or an address, found `10.0.0.0/33`"
        ));
    }

    #[test]
    fn origins_are_written_as_browsers_send_them() {
        let listed = |origins: &[&'static str]| {
            Ok(Origins::Listed(origins.iter().map(|origin| HeaderValue::from_static(origin)).collect()))
        };
        assert_eq!(decoded("k: {}", cors), Ok(Origins::None));
        assert_eq!(decoded("k: { origins: [] }", cors), Ok(Origins::None));
        assert_eq!(decoded("k: { origins: ['*'] }", cors), Ok(Origins::Any));
        let text = "k: { origins: ['https://app.example', 'http://localhost:3000'] }";
        assert_eq!(decoded(text, cors), listed(&["https://app.example", "http://localhost:3000"]));
        for wrong in [
            "https://app.example/",
            "app.example",
            "https://App.example",
            "ftp://a",
            "https://u@a",
            "null",
            "https://*.a",
        ] {
            let told =
                decoded(&format!("k: {{ origins: ['{wrong}', 'https://b.example'] }}"), cors).unwrap_err();
            assert!(told.contains("k.origins[0]: expects an origin"), "{wrong}: {told}");
        }
        assert!(decoded("k: { origins: ['*', 'https://b.example'] }", cors).is_err());
    }

    #[test]
    fn a_rate_has_a_burst_of_a_second_unless_it_has_its_own() {
        let of = |text: &str| decoded(&format!("k: {text}"), rate);
        assert_eq!(of("{}"), Ok(None));
        assert_eq!(of("{ per_second: 0, burst: 0 }"), Ok(None));
        let limited = |period, burst| {
            Ok(Some(ClientRate {
                period: Duration::from_micros(period),
                burst: NonZeroU32::new(burst).unwrap(),
            }))
        };
        assert_eq!(of("{ per_second: 50 }"), limited(20_000, 50));
        assert_eq!(of("{ per_second: 0.5 }"), limited(2_000_000, 1));
        assert_eq!(of("{ per_second: 2.5, burst: 7 }"), limited(400_000, 7));
        assert!(of("{ burst: 5 }").unwrap_err().contains("k.burst: needs a per_second above 0"));
        assert!(of("{ per_second: -1 }").is_err());
        assert!(of("{ per_second: 0.000001 }").is_err());
    }
}
