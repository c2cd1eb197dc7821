//! Where the demo lives: a temporary folder, and settings in which nothing outside of it counts.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::app::{Running, StartError, start};
use crate::config::{AnonymousScopes, Backend, Settings};
use crate::demo::DemoError;
use crate::demo::script::{Edition, Pace, policy};
use crate::policy::compile::compile;
use crate::queue::embedded::settings::EmbeddedSettings;
use crate::runtime::share::settings::ShareSettings;
use crate::runtime::shutdown::ShutdownSettings;

/// The temporary folder; gone when this is dropped.
#[derive(Debug)]
pub struct House {
    folder: TempDir,
    pace: Pace,
}

impl House {
    /// Makes the folder, with the policy in it.
    ///
    /// # Errors
    /// The system's folder for temporary files cannot be written.
    pub fn build(pace: Pace) -> Result<House, DemoError> {
        let place = std::env::temp_dir();
        let unwritable = |source| DemoError::Folder { path: place.clone(), source };
        let folder = tempfile::Builder::new().prefix("tidegate-demo-").tempdir_in(&place);
        let house = House { folder: folder.map_err(unwritable)?, pace };
        house.publish(Edition::Usual).map_err(unwritable)?;
        Ok(house)
    }

    /// The policy's file.
    pub fn policy_file(&self) -> PathBuf {
        self.folder.path().join("policy.yaml")
    }

    /// Writes the policy's file anew, at once as a whole.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn publish(&self, edition: Edition) -> io::Result<()> {
        let draft = self.folder.path().join("next.yaml");
        fs::write(&draft, policy(self.pace, edition))?;
        fs::rename(draft, self.policy_file())
    }

    /// Starts the gateway, as `tidegate serve` does. Where admin's port is taken, another one is, if it may wander.
    ///
    /// # Errors
    /// It cannot start.
    pub async fn open(&self, settings: &Settings, wanders: bool) -> Result<Running, DemoError> {
        let mut settings = furnished(settings, self.folder.path());
        loop {
            let compiled = compile(&policy(self.pace, Edition::Usual), "policies/demo.yaml")?;
            match start(settings.clone(), compiled.policy, true).await {
                Err(StartError::Listen { address, .. })
                    if wanders && address == settings.admin.listen && address.port() != 0 =>
                {
                    settings.admin.listen = SocketAddr::new(address.ip(), 0);
                }
                started => return Ok(started?),
            }
        }
    }

    /// Removes the folder.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn leave(self) -> Result<(), DemoError> {
        let path = self.folder.path().to_owned();
        self.folder.close().map_err(|source| DemoError::Folder { path, source })
    }
}

/// Addresses, limits and logs as they were set; the queue, the policy, and who may call are the demo's own.
fn furnished(settings: &Settings, folder: &Path) -> Settings {
    let defaults = Settings::default();
    let mut furnished = Settings {
        policy: folder.join("policy.yaml"),
        backend: Backend::Embedded,
        embedded: EmbeddedSettings { path: folder.join("queue.db"), ..defaults.embedded },
        share: ShareSettings::Alone,
        client_rate: None,
        keys: None,
        anonymous: AnonymousScopes { submit: true, lease: true },
        shutdown: ShutdownSettings { delay: Duration::ZERO, grace: GRACE },
        ..settings.clone()
    };
    furnished.ingest.tls = None;
    furnished.admin.tls = None;
    furnished
}

/// Who still asks is the dashboard, and it goes on asking.
const GRACE: Duration = Duration::from_secs(1);
