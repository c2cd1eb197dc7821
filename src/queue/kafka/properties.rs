//! librdkafka's own properties, as operators hand them through.

use std::collections::BTreeMap;

/// Properties by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(pub(super) BTreeMap<String, String>);
