//! Keys of clients and workers, and the file that the gateway knows them by.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// A keys file, being put together.
#[derive(Clone, Debug, Default)]
pub struct Keys(String);

impl Keys {
    /// Adds a key with these scopes.
    pub fn and(self, name: &str, tenant: &str, key: &str, scopes: &str) -> Keys {
        self.with(name, tenant, key, &format!("scopes: [{scopes}]"))
    }

    /// Adds a key with these further members.
    pub fn with(mut self, name: &str, tenant: &str, key: &str, rest: &str) -> Keys {
        let digest = sha256(key);
        writeln!(self.0, "  - {{ name: {name}, tenant: {tenant}, sha256: {digest}, {rest} }}").unwrap();
        self
    }

    pub fn to_yaml(&self) -> String {
        format!("keys:\n{}", self.0)
    }
}

/// What `printf %s KEY | sha256sum` prints.
pub fn sha256(key: &str) -> String {
    Sha256::digest(key).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// What a client sends to show a key.
pub fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}
