//! Redis: accepted jobs in streams or lists of a Redis that workers read themselves.

pub mod settings;
