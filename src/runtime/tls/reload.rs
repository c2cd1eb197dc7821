//! Takes renewed certificates over while the gateway runs, each with its key, and warns before one expires.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::time::{MissedTickBehavior, Sleep, interval, sleep};
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::runtime::file_watch::{Content, WatchedFile};
use crate::runtime::tls::material::{Contents, Material, MaterialError, Part, unreadable};
use crate::runtime::tls::{Certificate, Change, TlsFiles};

/// Watches the files of one listener.
#[derive(Debug)]
pub struct Renewal {
    listener: &'static str,
    files: TlsFiles,
    target: Arc<Certificate>,
    clock: Clock,
    /// What is in force.
    taken: Contents,
    certificate: WatchedFile,
    key: WatchedFile,
    client_ca: Option<WatchedFile>,
    /// The last news of each file.
    news: News,
    /// What was last said to be wrong.
    told: Option<String>,
}

#[derive(Debug, Default)]
struct News {
    certificate: Option<Content>,
    key: Option<Content>,
    client_ca: Option<Content>,
}

impl Renewal {
    /// Begins to watch the files that `target` was made of.
    ///
    /// # Errors
    /// There is no thread to watch with.
    pub fn watch(
        listener: &'static str,
        files: TlsFiles,
        (target, taken): (Arc<Certificate>, Contents),
        clock: Clock,
    ) -> io::Result<Renewal> {
        Ok(Renewal {
            certificate: WatchedFile::watch(&files.certificate)?,
            key: WatchedFile::watch(&files.key)?,
            client_ca: files.client_ca.as_deref().map(WatchedFile::watch).transpose()?,
            listener,
            files,
            target,
            clock,
            taken,
            news: News::default(),
            told: None,
        })
    }

    /// Takes over what can be used, and keeps what is in force otherwise; runs until dropped.
    pub async fn run(mut self) {
        let mut look_at_expiry = interval(DAY);
        look_at_expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        warn_of_open_key(self.listener, &self.files.key);
        let mut unmatched: Option<Pin<Box<Sleep>>> = None;
        loop {
            let overdue = async {
                match &mut unmatched {
                    Some(over) => over.await,
                    None => std::future::pending().await,
                }
            };
            let waited = select! {
                content = self.certificate.changed() => { self.news.certificate = Some(content); false }
                content = self.key.changed() => { self.news.key = Some(content); false }
                content = changed(&mut self.client_ca) => { self.news.client_ca = Some(content); false }
                () = overdue => true,
                _ = look_at_expiry.tick() => { self.warn_of_expiry(); continue }
            };
            unmatched = match self.judge() {
                Ok(()) => None,
                Err(fault) if waited || !fault.may_be_half_written() => {
                    self.refuse(&fault);
                    None
                }
                // The other file of a renewal may be on its way.
                Err(_) => unmatched.or_else(|| Some(Box::pin(sleep(PAIR_TIME)))),
            };
        }
    }

    /// Takes over the files as they are now.
    fn judge(&mut self) -> Result<(), MaterialError> {
        let Some(contents) = self.news.contents(&self.files)? else { return Ok(()) };
        if contents == self.taken {
            if self.told.take().is_some() {
                info!(listener = self.listener, "the TLS files are again those in force");
                self.target.note(Change { at: self.clock.wall(), fault: None });
            }
            return Ok(());
        }
        let material = Material::of(&self.files, &contents)?;
        self.target.take_over(material, self.clock.wall());
        self.taken = contents;
        self.told = None;
        let not_after = self.target.not_after().map(|time| time.to_string());
        info!(listener = self.listener, not_after, "a renewed certificate is in force for new connections");
        warn_of_open_key(self.listener, &self.files.key);
        self.warn_of_expiry();
        Ok(())
    }

    fn refuse(&mut self, fault: &MaterialError) {
        let fault = fault.to_string();
        if self.told.as_deref() == Some(&*fault) {
            return;
        }
        error!(listener = self.listener, %fault, "the changed TLS files are not taken over: the ones before stay in force");
        self.target.note(Change { at: self.clock.wall(), fault: Some(fault.as_str().into()) });
        self.told = Some(fault);
    }

    fn warn_of_expiry(&self) {
        let Some(not_after) = self.target.not_after() else { return };
        let now = self.clock.wall();
        if not_after <= now {
            warn!(listener = self.listener, %not_after, "the certificate has expired: clients refuse it");
        } else if not_after.since(now) < WARN_BEFORE {
            warn!(listener = self.listener, %not_after, "the certificate expires soon");
        }
    }
}

impl News {
    /// What the files hold now; `None` until all were read.
    fn contents(&self, files: &TlsFiles) -> Result<Option<Contents>, MaterialError> {
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else { return Ok(None) };
        let taken = |part, path: &Path, content: &Content| {
            content.clone().map_err(|error| unreadable(part, path, error))
        };
        let client_ca = match (&files.client_ca, &self.client_ca) {
            (None, _) => None,
            (Some(_), None) => return Ok(None),
            (Some(path), Some(content)) => Some(taken(Part::ClientCa, path, content)?),
        };
        Ok(Some(Contents {
            certificate: taken(Part::Certificate, &files.certificate, certificate)?,
            key: taken(Part::Key, &files.key, key)?,
            client_ca,
        }))
    }
}

async fn changed(file: &mut Option<WatchedFile>) -> Content {
    match file {
        Some(file) => file.changed().await,
        None => std::future::pending().await,
    }
}

/// Other users of the machine could read the key and pass for the gateway.
#[cfg(unix)]
fn warn_of_open_key(listener: &'static str, key: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if std::fs::metadata(key).is_ok_and(|found| found.permissions().mode() & READ_BY_ALL != 0) {
        warn!(listener, file = %key.display(), "the private key can be read by every user of this machine");
    }
}

/// The other file of a renewed pair comes within this time, or it is said that they do not match.
pub const PAIR_TIME: Duration = Duration::from_secs(5);

/// Renewals come weeks before the end; nearer to it something does not renew.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(unix)]
const READ_BY_ALL: u32 = 0o004;
