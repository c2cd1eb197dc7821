//! `GET /dashboard`: the page of operators, a part of the program: nothing of it comes from elsewhere.
//!
//! The page and its files hold no data, so they are given without the token; what they show they ask for with it.

use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::Response;
use http::HeaderValue;
use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

use crate::domain::code::Code;
use crate::server::problem::Problem;

/// The page.
pub async fn page() -> Response {
    answer(&PAGE)
}

/// One of its files.
pub async fn asset(name: Result<Path<String>, PathRejection>) -> Response {
    let found = name.ok().and_then(|Path(name)| ASSETS.iter().find(|asset| asset.name == name));
    let unknown = || Problem::new(Code::NotFound, "the dashboard has no such file").into_response();
    found.map_or_else(unknown, answer)
}

/// Whether a path is the page or one of its files.
pub(super) fn holds(path: &str) -> bool {
    path == "/dashboard" || path.starts_with("/dashboard/")
}

/// One file, built in.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    content: &'static [u8],
}

fn answer(asset: &Asset) -> Response {
    let mut response = Response::new(Body::from(asset.content));
    let headers: &mut HeaderMap = response.headers_mut();
    let fields: [(HeaderName, &'static str); 6] = [
        (CONTENT_TYPE, asset.media_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
        (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    ];
    for (name, value) in fields {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

const PAGE: Asset = Asset {
    name: "index.html",
    media_type: "text/html; charset=utf-8",
    content: include_bytes!("assets/index.html"),
};

const ASSETS: &[Asset] = &[
    Asset {
        name: "style.css",
        media_type: "text/css; charset=utf-8",
        content: include_bytes!("assets/style.css"),
    },
    Asset { name: "icon.svg", media_type: "image/svg+xml", content: include_bytes!("assets/icon.svg") },
    script("main.js", include_bytes!("assets/main.js")),
    script("amounts.js", include_bytes!("assets/amounts.js")),
    script("chart.js", include_bytes!("assets/chart.js")),
    script("elements.js", include_bytes!("assets/elements.js")),
    script("gateway.js", include_bytes!("assets/gateway.js")),
    script("letters.js", include_bytes!("assets/letters.js")),
    script("series.js", include_bytes!("assets/series.js")),
    script("surroundings.js", include_bytes!("assets/surroundings.js")),
    script("tier.js", include_bytes!("assets/tier.js")),
];

const fn script(name: &'static str, content: &'static [u8]) -> Asset {
    Asset { name, media_type: "text/javascript; charset=utf-8", content }
}

/// Nothing but the page's own files and the listener's own data; no frames, no forms, no other base.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_no_other_place_and_carries_no_script_or_style_inline() {
        for asset in ASSETS.iter().chain([&PAGE]) {
            let text = str::from_utf8(asset.content).unwrap();
            let elsewhere = text
                .replace("http://www.w3.org/2000/svg", "")
                .lines()
                .any(|line| line.contains("http://") || line.contains("https://") || line.contains("url(//"));
            assert!(!elsewhere, "{} names another place", asset.name);
        }
        let page = str::from_utf8(PAGE.content).unwrap();
        for forbidden in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert_eq!(page.matches("<script").count(), page.matches("<script type=\"module\" src=").count());
    }

    #[test]
    fn every_file_that_is_asked_for_is_there() {
        let modules = ASSETS.iter().chain([&PAGE]).map(|asset| str::from_utf8(asset.content).unwrap());
        for text in modules {
            let imports = text.split("from \"./").skip(1).map(|rest| rest.split('"').next().unwrap());
            let links = text.split("=\"dashboard/").skip(1).map(|rest| rest.split('"').next().unwrap());
            for name in imports.chain(links) {
                assert!(ASSETS.iter().any(|asset| asset.name == name), "{name}");
            }
        }
    }
}
