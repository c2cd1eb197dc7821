//! What is refused before it has a tier, in words.

use crate::telemetry::diagnosis::amount::rate;
use crate::telemetry::families::{JOBS_REFUSED, OVERLOADED};
use crate::telemetry::flow::EdgeFlow;

/// What to say of it, with what to turn; nothing where nothing is refused so. Critical work may be among it.
pub fn sentence(edge: &EdgeFlow) -> Option<String> {
    let EdgeFlow { client_limit, overloaded, refused } = *edge;
    let otherwise = refused - client_limit - overloaded;
    let protects = format!("since the gateway protects itself ({} says which of limits)", OVERLOADED.name);
    let another = format!("for another reason ({} of tier none says which)", JOBS_REFUSED.name);
    let parts = [
        (client_limit, "by the limit of one client (limits.client_rate)"),
        (overloaded, &*protects),
        (otherwise, &*another),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(part, _)| *part > LEAST)
        .map(|(part, why)| format!("{} {why}", rate(part)))
        .collect();
    (!parts.is_empty()).then(|| {
        format!("refused before they have a tier, critical work perhaps among them: {}", parts.join(", "))
    })
}

/// Less is what floating point leaves over.
const LEAST: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_named_with_what_to_turn() {
        assert_eq!(sentence(&EdgeFlow::default()), None);
        let said = sentence(&EdgeFlow { client_limit: 12.0, overloaded: 0.0, refused: 12.0 }).unwrap();
        assert!(said.contains("12/s by the limit of one client") && !said.contains("protects"), "{said}");
        let said = sentence(&EdgeFlow { client_limit: 0.0, overloaded: 3.0, refused: 5.0 }).unwrap();
        assert!(said.contains("3/s since the gateway protects itself"), "{said}");
        assert!(said.contains("2/s for another reason"), "{said}");
    }
}
