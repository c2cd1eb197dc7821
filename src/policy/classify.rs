//! Which tier a request belongs to: first by its head alone, then, where a rule asks, by its body.

use http::{HeaderMap, Method, Uri};

use crate::domain::tier::{Tier, TierSet};
use crate::policy::Policy;

/// What is known of a request before its body is read.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query.
    pub uri: &'a Uri,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The caller.
    pub tenant: &'a str,
    /// The highest tier the caller may reach.
    pub ceiling: Tier,
    /// The body's declared length.
    pub content_length: Option<u64>,
}

/// What the head alone says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadVerdict {
    /// The tier is decided; the body cannot change it.
    Decided(Tier),
    /// The body decides among these tiers.
    NeedsBody(TierSet),
}

/// A job's place and the names found for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    /// The tier, not above the caller's ceiling.
    pub tier: Tier,
    /// The matched rule's position in the policy; `None` where the wish or the default tier decided.
    pub rule: Option<usize>,
    /// The type read by `type_from`.
    pub job_type: Option<Box<str>>,
    /// The key read by `ordering_key_from`.
    pub ordering_key: Option<Box<str>>,
}

/// Why the caller's wish (`Tidegate-Tier`) cannot be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// The header names no tier.
    #[error("Tidegate-Tier names no tier: write p0, p1 or p2")]
    Unknown,
    /// The wish is above the ceiling.
    #[error("Tidegate-Tier wishes for {wish}, the caller's ceiling is {ceiling}")]
    AboveCeiling {
        /// The tier wished for.
        wish: Tier,
        /// The highest tier allowed.
        ceiling: Tier,
    },
}

#[expect(unused_variables, reason = "replaced by the real rules")]
impl Policy {
    /// What the head alone says of the tier.
    ///
    /// # Errors
    /// The wish names no tier, or one above the ceiling.
    pub fn classify_head(&self, head: &Head<'_>) -> Result<HeadVerdict, WishError> {
        unimplemented!()
    }

    /// The job's tier and names, from head and payload. Agrees with what [`Policy::classify_head`] decided.
    ///
    /// # Errors
    /// As [`Policy::classify_head`].
    pub fn classify(&self, head: &Head<'_>, payload: &[u8]) -> Result<Classified, WishError> {
        unimplemented!()
    }
}
