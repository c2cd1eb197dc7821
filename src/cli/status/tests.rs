//! Addresses and pauses as they are typed.

use super::*;

#[test]
fn an_address_is_a_listener_and_holds_no_secret() {
    for (text, shown, host, port) in [
        ("http://127.0.0.1:9090", "http://127.0.0.1:9090", "127.0.0.1", 9090),
        ("https://gateway/", "https://gateway", "gateway", 443),
        ("http://[::1]:9090", "http://[::1]:9090", "::1", 9090),
        ("http://ops.example", "http://ops.example", "ops.example", 80),
    ] {
        let address: Address = text.parse().unwrap();
        assert_eq!((address.to_string().as_str(), address.host(), address.port()), (shown, host, port));
    }
    for wrong in [
        "127.0.0.1:9090",
        "gateway",
        "",
        "ftp://gateway",
        "http://",
        "http://gateway/v1/status",
        "http://gateway?token=sesame",
        "http://user:sesame@gateway:9090",
        "http://gateway:99999",
    ] {
        assert!(wrong.parse::<Address>().is_err(), "{wrong}");
    }
}

#[test]
fn a_pause_is_neither_a_flood_nor_for_ever() {
    assert_eq!(pause("2s"), Ok(Duration::from_secs(2)));
    assert_eq!(pause("200ms"), Ok(Duration::from_millis(200)));
    for wrong in ["0s", "100ms", "2h", "2", "soon"] {
        assert!(pause(wrong).is_err(), "{wrong}");
    }
}
