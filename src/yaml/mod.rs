//! Floor 1: YAML read with positions, so that every fault can be pointed at.
