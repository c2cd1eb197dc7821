//! Files that operators replace while the gateway runs: the policy, keys, certificates.
//!
//! A file is looked at by its name, so a write in place, a rename over it and the swap of a symbolic link on its way (as
//! Kubernetes mounts a ConfigMap) are all one: other bytes under the name.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

/// What was last read under a name: the bytes, or why there are none.
pub type Content = Result<Arc<[u8]>, Arc<io::Error>>;

/// A file being watched, until this is dropped.
#[derive(Debug)]
pub struct WatchedFile {
    path: PathBuf,
    content: watch::Receiver<Option<Content>>,
}

impl WatchedFile {
    /// Watches a file on a thread of its own: a disk that hangs holds up nobody else. What is there at this moment is the
    /// first news.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn watch(path: &Path) -> io::Result<WatchedFile> {
        let (sender, content) = watch::channel(None);
        let watched = path.to_owned();
        thread::Builder::new().name("file-watch".to_owned()).spawn(move || look_again(&watched, &sender))?;
        Ok(WatchedFile { path: path.to_owned(), content })
    }

    /// The name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until there is other content than at the last call, and gives it; within [`SEEN_WITHIN`] of a change.
    pub async fn changed(&mut self) -> Content {
        if self.content.changed().await.is_ok()
            && let Some(content) = &*self.content.borrow_and_update()
        {
            return content.clone();
        }
        // The thread ends only when nobody listens.
        std::future::pending().await
    }
}

/// Reads the file whenever it is another and has been the same for two looks: a write in place is not read half-way,
/// unless it pauses for as long. It begins with an empty file, and on a busy disk that may last: such a one is looked at for
/// longer.
fn look_again(path: &Path, news: &watch::Sender<Option<Content>>) {
    let mut told: Option<Stamp> = None;
    let mut last: Option<Stamp> = None;
    let mut same = 0;
    while !news.is_closed() {
        let stamp = Stamp::of(path);
        same = if last.as_ref() == Some(&stamp) { same + 1 } else { 0 };
        let settled = told.is_none() || same >= if stamp.is_empty() { LOOKS_AT_EMPTY } else { 1 };
        if settled && told.as_ref() != Some(&stamp) {
            let content = fs::read(path).map(Arc::from).map_err(Arc::new);
            if told.is_some() && Stamp::of(path) != stamp {
                // Somebody writes at this moment.
                continue;
            }
            news.send_if_modified(|known| {
                let other = !known.as_ref().is_some_and(|known| is_same(known, &content));
                *known = Some(content);
                other
            });
            told = Some(stamp.clone());
        }
        last = Some(stamp);
        thread::sleep(LOOK_EVERY);
    }
}

/// Whether both are the same bytes, or missing for the same reason.
pub fn is_same(known: &Content, content: &Content) -> bool {
    match (known, content) {
        (Ok(known), Ok(content)) => known == content,
        (Err(known), Err(error)) => known.kind() == error.kind(),
        _ => false,
    }
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Debug, PartialEq)]
enum Stamp {
    There { file: (u64, u64), length: u64, changed: (i64, i64), modified: Option<SystemTime> },
    Missing(io::ErrorKind),
}

impl Stamp {
    fn is_empty(&self) -> bool {
        matches!(self, Stamp::There { length: 0, .. })
    }

    fn of(path: &Path) -> Stamp {
        match fs::metadata(path) {
            Ok(found) => Stamp::There {
                file: identity(&found),
                length: found.len(),
                changed: change_time(&found),
                modified: found.modified().ok(),
            },
            Err(error) => Stamp::Missing(error.kind()),
        }
    }
}

#[cfg(unix)]
fn identity(found: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (found.dev(), found.ino())
}

#[cfg(unix)]
fn change_time(found: &Metadata) -> (i64, i64) {
    use std::os::unix::fs::MetadataExt;
    (found.ctime(), found.ctime_nsec())
}

/// How often a file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// So often an empty file is seen before it is believed: a third of a second.
const LOOKS_AT_EMPTY: u32 = 10;

/// A change is told within this: two looks, and time to read.
pub const SEEN_WITHIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    async fn next(file: &mut WatchedFile) -> Result<String, io::ErrorKind> {
        let content = tokio::time::timeout(Duration::from_secs(10), file.changed()).await.expect("news");
        content.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn a_write_in_place_a_rename_and_a_swapped_link_are_each_seen_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("policy"), "one").unwrap();
        let mut file = WatchedFile::watch(&path("policy")).unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "one");
        fs::write(path("policy"), "two").unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "two");
        fs::write(path("other"), "six").unwrap();
        fs::rename(path("other"), path("policy")).unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "six");
        fs::remove_file(path("policy")).unwrap();
        assert_eq!(next(&mut file).await.unwrap_err(), io::ErrorKind::NotFound);
        fs::create_dir(path("a")).unwrap();
        fs::create_dir(path("b")).unwrap();
        fs::write(path("a/policy"), "in a").unwrap();
        fs::write(path("b/policy"), "in b").unwrap();
        symlink("a", path("data")).unwrap();
        symlink("data/policy", path("policy")).unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "in a");
        symlink("b", path("data.new")).unwrap();
        fs::rename(path("data.new"), path("data")).unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "in b");
    }

    #[tokio::test]
    async fn a_file_that_is_empty_for_a_moment_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        fs::write(&path, "one").unwrap();
        let mut file = WatchedFile::watch(&path).unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "one");
        fs::write(&path, "").unwrap();
        assert!(tokio::time::timeout(2 * SEEN_WITHIN, file.changed()).await.is_err());
        fs::write(&path, "two").unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "two");
        fs::write(&path, "").unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "", "it stays so");
    }

    #[tokio::test]
    async fn what_says_the_same_is_no_news() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        fs::write(&path, "same").unwrap();
        let mut file = WatchedFile::watch(&path).unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "same");
        fs::write(&path, "same").unwrap();
        assert!(tokio::time::timeout(2 * SEEN_WITHIN, file.changed()).await.is_err());
        fs::write(&path, "other").unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "other");
    }
}
