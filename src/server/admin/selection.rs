//! Which dead letters an operator means: parsed from a query or a body.

use crate::domain::tier::Tier;
use crate::queue::dead_letter::DeadLetterQuery;
use crate::server::json_object::{JsonObject, expected};
use crate::server::problem::Problem;

/// The dead letters to replay or to purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// These, as the operator wrote them.
    Ids(Vec<String>),
    /// The oldest of a tier.
    Oldest {
        /// The tier.
        tier: Tier,
        /// At most this many.
        limit: usize,
    },
    /// Every one.
    All,
}

impl Selection {
    /// Reads a body of exactly one of the forms `{"ids":[..]}`, `{"tier":..,"limit":..}`, `{"all":true}`.
    ///
    /// # Errors
    /// 400: no form, two forms, nothing selected, unknown keys, or a limit out of its range.
    pub fn parse(body: &[u8]) -> Result<Selection, Problem> {
        let one_form = || {
            Problem::malformed(
                r#"select dead letters in one form: {"ids":[..]}, {"tier":..,"limit":..} or {"all":true}"#,
            )
        };
        let mut object = JsonObject::parse(body)?;
        let (ids, tier) = (object.texts("ids")?, object.text("tier")?);
        let (limit, all) = (object.number("limit", 1..=MOST_AS_NUMBER)?, object.flag("all")?);
        object.close()?;
        match (ids, tier, limit, all) {
            (Some(ids), None, None, None) => match ids.len() {
                1..=MOST => Ok(Selection::Ids(ids)),
                _ => Err(expected("ids", &format!("a list of 1 to {MOST} ids"))),
            },
            (None, Some(tier), limit, None) => {
                let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(USUAL);
                Ok(Selection::Oldest { tier: parse_tier(&tier)?, limit })
            }
            (None, None, None, Some(true)) => Ok(Selection::All),
            _ => Err(one_form()),
        }
    }
}

/// Reads `?tier=&limit=&after=`.
///
/// # Errors
/// 400: an unknown or repeated key, or a value out of its range.
pub fn query(text: &str) -> Result<DeadLetterQuery, Problem> {
    let mut query = DeadLetterQuery { limit: 0, ..DeadLetterQuery::default() };
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let new = match key {
            "tier" => query.tier.replace(parse_tier(value)?).is_none(),
            "limit" => {
                let limit = value.parse().map_err(|_| Problem::malformed(format!("limit is 1 to {MOST}")))?;
                std::mem::replace(&mut query.limit, checked(limit)?) == 0
            }
            "after" => query.after.replace(value.to_owned()).is_none(),
            _ => return Err(Problem::malformed("dead letters are listed by tier, limit and after")),
        };
        if !new {
            return Err(Problem::malformed(format!("{key} is there more than once")));
        }
    }
    if query.limit == 0 {
        query.limit = USUAL;
    }
    Ok(query)
}

fn parse_tier(word: &str) -> Result<Tier, Problem> {
    word.parse().map_err(|error| Problem::malformed(format!("tier: {error}")))
}

fn checked(limit: usize) -> Result<usize, Problem> {
    if (1..=MOST).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::malformed(format!("limit is 1 to {MOST}")))
    }
}

/// The most dead letters of one page or one selection.
pub const MOST: usize = 1_000;
/// The same where it is read.
const MOST_AS_NUMBER: u64 = 1_000;

/// The limit that is not said.
pub(in crate::server) const USUAL: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_selects_alone() {
        assert_eq!(
            Selection::parse(br#"{"ids":["a","b"]}"#),
            Ok(Selection::Ids(vec!["a".into(), "b".into()]))
        );
        assert_eq!(
            Selection::parse(br#"{"tier":"p2"}"#),
            Ok(Selection::Oldest { tier: Tier::P2, limit: 100 })
        );
        let limited = Selection::parse(br#"{"tier":"p2","limit":1000}"#);
        assert_eq!(limited, Ok(Selection::Oldest { tier: Tier::P2, limit: 1_000 }));
        assert_eq!(Selection::parse(br#"{"all":true}"#), Ok(Selection::All));
    }

    #[test]
    fn an_empty_or_double_selection_is_refused() {
        let wrong = [
            "{}",
            "",
            "[]",
            r#"[["a"], null, null, null]"#,
            r#"{"ids":[]}"#,
            r#"{"all":false}"#,
            r#"{"limit":5}"#,
            r#"{"ids":["a"],"all":true}"#,
            r#"{"ids":["a"],"limit":1}"#,
            r#"{"tier":"p1","all":true}"#,
            r#"{"tier":"p1","limit":0}"#,
            r#"{"tier":"p1","limit":1001}"#,
            r#"{"tier":"p3"}"#,
            r#"{"all":true,"force":true}"#,
        ];
        for body in wrong {
            assert!(Selection::parse(body.as_bytes()).is_err(), "{body}");
        }
        let too_many = format!(r#"{{"ids":[{}"x"]}}"#, r#""x","#.repeat(MOST));
        assert!(Selection::parse(too_many.as_bytes()).is_err());
    }

    #[test]
    fn a_list_is_narrowed_by_its_query() {
        let expected = DeadLetterQuery { tier: Some(Tier::P1), limit: 7, after: Some("x".to_owned()) };
        assert_eq!(query("tier=p1&limit=7&after=x"), Ok(expected));
        assert_eq!(query(""), Ok(DeadLetterQuery { tier: None, limit: 100, after: None }));
        for wrong in ["tier=p9", "limit=0", "limit=1001", "limit=x", "limit", "page=2", "limit=1&limit=2"] {
            assert!(query(wrong).is_err(), "{wrong}");
        }
    }
}
