//! Several gateways on one backend: one law on the sum of what they let in, each applying its share.

pub mod settings;
