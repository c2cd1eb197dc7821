//! Tests of the whole picture; those of real courses also lie in `target/plots/`, for eyes.

use std::time::Duration;

use proptest::prelude::*;
use roxmltree::Document;

use super::*;
use crate::domain::tier::TierMap;
use crate::policy::DEFAULT_DOCUMENT;
use crate::sim::document::read_draft;
use crate::sim::figures::Figures;
use crate::sim::laws::LawName;
use crate::sim::laws::rival::Method;
use crate::sim::play::play;
use crate::sim::trace::{Slice, Told, Trace};

/// Real courses: a file's name, the law, the scenario.
const GALLERY: &[(&str, LawName, &str)] = &[
    ("flash_sale", LawName::Tidegate, FLASH_SALE),
    ("flash_sale_on_off", LawName::Rival(Method::OnOff), FLASH_SALE),
    ("flash_sale_article", LawName::Rival(Method::Article), FLASH_SALE),
    (
        "three_tiers",
        LawName::Tidegate,
        "{name: three tiers under a bulk flood, duration: 300s, workers: {rate: [[0s, 1000]]}, clients: {obey: 0.7, ignore: 0.1},
          tiers: {p0: {offered: [[0s, 300]]}, p1: {offered: [[0s, 150]]}, p2: {offered: [[0s, 50], [60s, 5000], [200s, 50]]}},
          set: {tiers.p2.target: {depth: 2000}}}",
    ),
    (
        "signal_lost",
        LawName::Tidegate,
        "{name: signal lost for two minutes, duration: 400s, workers: {rate: [[0s, 2000]]}, signal: {lost: [[100s, 220s]]},
          restarts: [300s], tiers: {p1: {offered: [[0s, 500], [60s, 8000], [330s, 500]]}, p2: {offered: [[0s, 500]]}},
          set: {tiers.p1.target: {depth: 8000}, tiers.p1.on_stale: hold}}",
    ),
    (
        "drain_falls",
        LawName::Tidegate,
        "{name: drain falls tenfold and returns, duration: 600s, workers: {rate: [[0s, 1000], [200s, 100], [400s, 1000]], noise: 0.5},
          tiers: {p2: {offered: [[0s, 2000]]}}, set: {tiers.p2.target: {depth: 2000}}}",
    ),
    (
        "delay_target",
        LawName::Tidegate,
        "{name: a delay as target and stalls, duration: 900s, workers: {rate: [[0s, 1000]], pauses: {every: 10s, for: 2s}},
          tiers: {p1: {offered: [[0s, 3000]], beside: [[500s, 600], [600s, 0]]}}}",
    ),
    (
        "eight_a_second",
        LawName::Tidegate,
        "{name: eight jobs a second, duration: 3600s, workers: {rate: [[0s, 8]], service: random}, arrivals: poisson,
          tiers: {p1: {offered: [[0s, 4], [600s, 40], [3000s, 4]]}}, set: {tiers.p1.target: {depth: 200}}}",
    ),
    (
        "a_million_a_second",
        LawName::Tidegate,
        "{name: a million jobs a second, duration: 60s, workers: {rate: [[0s, 1000000]]},
          tiers: {p1: {offered: [[0s, 100000], [10s, 30000000], [45s, 100000]]}},
          set: {tiers.p1.target: {depth: 2000000}, tiers.p1.max_depth: 20000000, tiers.p1.shed: {at: 10000000, until: 8000000, status: 429}}}",
    ),
    (
        "storm",
        LawName::Tidegate,
        "{name: 200000 obedient clients, duration: 300s, workers: {rate: [[0s, 2000]]}, clients: {obey: 1.0},
          tiers: {p1: {offered: [[0s, 1000], [10s, 21000], [20s, 300]]}}, set: {tiers.p1.target: {depth: 4000}}}",
    ),
    ("nothing_for_a_second", LawName::Tidegate, "{name: nothing, duration: 1s}"),
];

const FLASH_SALE: &str = "{name: flash sale, duration: 400s, workers: {rate: [[0s, 10000]]},
  tiers: {p2: {offered: [[0s, 1000], [60s, 100000], [240s, 5000]]}}, set: {tiers.p2.target: {depth: 20000}}}";

fn scenario(document: &str) -> Scenario {
    read_draft(document, "test").unwrap().under(DEFAULT_DOCUMENT, "policy").unwrap()
}

#[test]
fn the_gallery_is_well_formed_small_and_there_to_be_seen() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/plots");
    std::fs::create_dir_all(&folder).unwrap();
    for (file, law, document) in GALLERY {
        let scenario = scenario(document);
        let drawn = plot(&scenario, &play(&scenario, *law));
        std::fs::write(folder.join(file).with_extension("svg"), &drawn).unwrap();
        hold_to_the_rules(&drawn);
        assert!(drawn.len() < 300_000, "{file}: {} bytes", drawn.len());
    }
}

#[test]
fn the_same_course_gives_the_same_bytes() {
    let scenario = scenario(&FLASH_SALE.replace("400s", "90s"));
    let draw = || plot(&scenario, &play(&scenario, LawName::Tidegate));
    assert_eq!(draw(), draw());
}

#[test]
fn a_peak_of_one_slice_in_an_hour_is_in_the_picture_where_it_was() {
    let mut slices = vec![Slice { target: 1000.0, depth: 10, deepest: 10, ..Slice::default() }; 36_000];
    slices[27_000].deepest = 1900;
    slices[9_000].offered = 500;
    slices[9_000].admitted = 500;
    let drawn = plot(&lasting(3600), &played_p2(slices));
    let document = Document::parse(&drawn).unwrap();
    let peaks = |row: usize, class: &str| {
        let fields: Vec<_> =
            document.descendants().filter(|node| node.attribute("class") == Some("field")).collect();
        let number = |name: &str| fields[row].attribute(name).unwrap().parse::<f64>().unwrap();
        // The last: the first is the legend's.
        let path = document.descendants().rfind(|node| node.attribute("class") == Some(class)).unwrap();
        let path = coordinates(path.attribute("d").unwrap());
        let highest = path.chunks(2).min_by(|one, other| one[1].total_cmp(&other[1])).unwrap().to_vec();
        let value = (number("y") + number("height") - highest[1]) / number("height");
        ((highest[0] - number("x")) / number("width"), value)
    };
    let (when, value) = peaks(0, "d2");
    assert!((when - 0.75).abs() < 0.002, "{when}");
    assert!((value - 1.0 / 1.06).abs() < 0.002, "{value}");
    let (when, value) = peaks(2, "asked");
    assert!((when - 0.25).abs() < 0.003, "{when}");
    assert!(value > 0.9, "{value}");
}

#[test]
fn a_name_is_text_whatever_it_says() {
    let long = "wide ".repeat(2000);
    for (name, title) in [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("a & b \"c\" 'd' ]]>", "a & b \"c\" 'd' ]]>"),
        ("\u{0}\u{1b}[31mred\u{202e}\u{fffe}", "[31mred"),
        (&long, "wide wide wide wide wide wide wide wide wide wide wide wide…"),
        ("", "scenario without a name"),
    ] {
        let scenario = Scenario { name: name.to_owned(), ..lasting(1) };
        let drawn = plot(&scenario, &played_p2(vec![Slice::default()]));
        hold_to_the_rules(&drawn);
        let document = Document::parse(&drawn).unwrap();
        let shown = document.descendants().find(|node| node.attribute("class") == Some("title")).unwrap();
        assert_eq!(shown.text(), Some(title));
        assert!(!drawn.contains("<script"));
    }
}

#[test]
fn a_page_stays_small_however_restless_its_course() {
    let wild = |number: u64, most: u64| number.wrapping_mul(6_364_136_223_846_793_005) >> 33 & most;
    let slice = |number: u64| Slice {
        offered: wild(number, 255),
        returned: wild(number + 1, 255),
        admitted: wild(number + 2, 255),
        throttled: wild(number + 3, 255),
        shed: wild(number + 4, 255),
        beside: wild(number + 5, 255),
        depth: wild(number + 6, 1023),
        deepest: 1024 + wild(number + 7, 1023),
        target: wild(number + 8, 1023) as f64,
        rate: wild(number + 9, 1023) as f64,
        drain: wild(number + 10, 1023) as f64,
        drainable: wild(number + 11, 127) as f64,
        capacity: wild(number + 12, 127) as f64,
        blind: number % 8 < 5,
        told: Told {
            count: 2,
            sum: 600.0,
            least: wild(number, 255) as f64,
            most: 300.0 + wild(number, 511) as f64,
        },
        drained: 1,
        ..Slice::default()
    };
    let slices: Vec<Slice> = (0..36_000).map(slice).collect();
    let restarts = (0..3600).map(Duration::from_secs).collect();
    let scenario = Scenario { restarts, ..lasting(3600) };
    let one = played_p2(slices.clone());
    let tiers = TierMap::from_fn(|_| slices.clone());
    let figures = TierMap::from_fn(|_| Some(Figures::default()));
    let three = Played { figures, trace: Trace { tiers, ..one.trace.clone() }, ..one.clone() };
    for played in [one, three] {
        let drawn = plot(&scenario, &played);
        assert!(drawn.len() < 300_000, "{} bytes", drawn.len());
    }
}

#[test]
fn little_or_nothing_is_still_a_picture() {
    let nobody = Played { figures: TierMap::default(), ..played_p2(Vec::new()) };
    for (scenario, played) in [
        (lasting(0), nobody.clone()),
        (lasting(100), nobody),
        (lasting(1), played_p2(vec![Slice::default()])),
        (lasting(0), played_p2(vec![Slice::default(); 3])),
    ] {
        let drawn = plot(&scenario, &played);
        hold_to_the_rules(&drawn);
        assert!(drawn.contains("nobody asked") && drawn.contains("nobody was refused"));
    }
}

#[test]
fn lost_signals_and_restarts_are_marked_and_a_late_reading_is_not() {
    let mut slices = vec![Slice { target: 10.0, ..Slice::default() }; 1000];
    slices[100..300].iter_mut().for_each(|slice| slice.blind = true);
    slices[500].blind = true;
    let scenario = Scenario { restarts: vec![Duration::from_secs(70)], ..lasting(100) };
    let drawn = plot(&scenario, &played_p2(slices));
    let count = |what: &str| drawn.matches(what).count();
    assert_eq!((count(">no signal<"), count(">restart<")), (1, 1));
    assert_eq!((count("class=\"blind\""), count("class=\"restart\"")), (4, 4));
}

#[test]
fn a_flood_is_cut_and_said_to_be() {
    let slice =
        Slice { offered: 100_000, admitted: 100, throttled: 99_900, drainable: 100.0, ..Slice::default() };
    let drawn = plot(&lasting(100), &played_p2(vec![slice; 1000]));
    assert!(drawn.contains(">cut: peak 1M/s<"), "{drawn}");
    assert!(drawn.contains("class=\"cut\""));
}

proptest! {
    #[test]
    fn any_trace_gives_a_picture_on_the_page(
        seconds in 0_u64..10_000,
        millis in prop_oneof![Just(0_u64), Just(100), Just(3_000_000)],
        slices in proptest::collection::vec(any_slice(), 0..60),
        restart in any::<u32>(),
    ) {
        let played = Played { trace: Trace { slice: Duration::from_millis(millis), ..trace(slices) }, ..played_p2(Vec::new()) };
        let scenario = Scenario { restarts: vec![Duration::from_secs(restart.into())], ..lasting(seconds) };
        hold_to_the_rules(&plot(&scenario, &played));
    }
}

fn any_slice() -> impl Strategy<Value = Slice> {
    let value = || prop_oneof![any::<f64>(), 0.0..1e6, Just(f64::MAX), Just(f64::INFINITY), Just(f64::NAN)];
    let count = || prop_oneof![any::<u64>(), 0_u64..1000, Just(0)];
    let told = (count(), value(), value(), value()).prop_map(|(count, sum, least, most)| Told {
        count,
        sum,
        least,
        most,
    });
    let counts = (count(), count(), count(), count(), count(), count(), count());
    let values = (value(), value(), value(), value(), value());
    (counts, values, told, any::<bool>()).prop_map(|(counts, values, told, blind)| Slice {
        offered: counts.0,
        returned: counts.1,
        admitted: counts.2,
        throttled: counts.3,
        shed: counts.4,
        depth: counts.5,
        deepest: counts.6,
        target: values.0,
        rate: values.1,
        drain: values.2,
        drainable: values.3,
        capacity: values.4,
        told,
        blind,
        ..Slice::default()
    })
}

fn lasting(seconds: u64) -> Scenario {
    Scenario { duration: Duration::from_secs(seconds), ..Scenario::default() }
}

fn played_p2(slices: Vec<Slice>) -> Played {
    let mut figures = TierMap::default();
    figures[Tier::P2] = Some(Figures::default());
    Played { law: LawName::Tidegate, figures, trace: trace(slices) }
}

/// Of the tier p2 alone.
fn trace(slices: Vec<Slice>) -> Trace {
    let mut tiers = TierMap::default();
    tiers[Tier::P2] = slices;
    Trace { slice: Duration::from_millis(100), tiers }
}

/// Well-formed, nothing from outside, no coordinate that is no number, everything on the page.
fn hold_to_the_rules(drawn: &str) {
    let document = Document::parse(drawn).unwrap();
    let root = document.root_element();
    assert_eq!(root.attribute("viewBox"), Some("0 0 1200 850"));
    for name in ["title", "desc", "style"] {
        assert_eq!(root.children().filter(|node| node.has_tag_name((SVG_SPACE, name))).count(), 1, "{name}");
    }
    for node in root.descendants().filter(|node| node.is_element()) {
        assert!(["svg", "title", "desc", "style", "rect", "path", "text"].contains(&node.tag_name().name()));
        for attribute in ["x", "y", "width", "height"] {
            if let Some(value) = node.attribute(attribute) {
                assert!((0.0..=1200.0).contains(&value.parse::<f64>().unwrap()), "{attribute}={value}");
            }
        }
        for coordinate in coordinates(node.attribute("d").unwrap_or_default()) {
            assert!((0.0..=1200.0).contains(&coordinate), "{coordinate}");
        }
    }
}

fn coordinates(path: &str) -> Vec<f64> {
    let numbers = path.split(['M', 'L', 'Z', ' ']).filter(|number| !number.is_empty());
    numbers.map(|number| number.parse().unwrap()).collect()
}

const SVG_SPACE: &str = "http://www.w3.org/2000/svg";
