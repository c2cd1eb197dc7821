//! Floor 1: YAML read with positions, so that every fault can be pointed at.
//!
//! [`read`](read::read) turns text into a small tree whose nodes know where they were written. A
//! [`Field`](decode::Field) walks that tree, takes values out of it and collects every fault on the way, so that
//! one run shows all of them.

pub mod decode;
pub mod fault;
pub mod node;
pub mod read;
pub mod scalar;
pub mod text;
