//! Files that operators replace while the gateway runs: the policy, keys, certificates.
//!
//! A file is looked at by its name, so a write in place, a rename over it and the swap of a symbolic link on its way (as
//! Kubernetes mounts a ConfigMap) are all one: other bytes under the name.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
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
    let mut looks = Looks::default();
    while !news.is_closed() {
        let stamp = Stamp::of(path);
        let settled = looks.settled(&stamp) || told.is_none();
        if settled && told.as_ref() != Some(&stamp) {
            let content = read_regular(path);
            if told.is_some() && Stamp::of(path) != stamp {
                // Somebody writes at this moment.
                continue;
            }
            news.send_if_modified(|known| {
                let other = !known.as_ref().is_some_and(|known| is_same(known, &content));
                *known = Some(content);
                other
            });
            told = Some(stamp);
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Reads a file by the same rule; takes up to [`SETTLED_WITHIN`]. `None` where somebody goes on writing it.
pub fn read_settled(path: &Path) -> Option<Content> {
    let mut looks = Looks::default();
    for _ in 0..MOST_LOOKS {
        let stamp = Stamp::of(path);
        if looks.settled(&stamp) {
            let content = read_regular(path);
            if Stamp::of(path) == stamp {
                return Some(content);
            }
        }
        thread::sleep(LOOK_EVERY);
    }
    None
}

/// How often one state of a file was seen in a row.
#[derive(Default)]
struct Looks {
    last: Option<Stamp>,
    same: u32,
}

impl Looks {
    /// Takes in another look; whether the state has been the same for long enough to be believed.
    fn settled(&mut self, stamp: &Stamp) -> bool {
        let again = self.last.as_ref() == Some(stamp);
        self.same = if again { self.same.saturating_add(1) } else { 0 };
        self.last = Some(stamp.clone());
        self.same >= if stamp.is_empty() { LOOKS_AT_EMPTY } else { 1 }
    }
}

/// Reads a regular file. What is none is refused without being read: a pipe may have no writer for ever, a device no end.
fn read_regular(path: &Path) -> Content {
    let read = || {
        refuse_irregular(&fs::metadata(path)?)?;
        // Another may have come under the name meanwhile: opening a pipe does not wait for its writer.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        refuse_irregular(&file.metadata()?)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Arc::from(bytes))
    };
    read().map_err(Arc::new)
}

fn refuse_irregular(found: &Metadata) -> io::Result<()> {
    if found.is_file() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::Unsupported, "it is no regular file"))
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

/// So often a file is looked at that is to be read now.
const MOST_LOOKS: u32 = 3 * LOOKS_AT_EMPTY;

/// A file that is to be read now is read within this, or it is being written.
pub const SETTLED_WITHIN: Duration = Duration::from_secs(1);

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
    async fn what_is_no_file_is_not_waited_for_and_a_file_in_its_place_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        fs::write(&path, "one").unwrap();
        let mut file = WatchedFile::watch(&path).unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "one");
        for (round, make) in [make_pipe, |path: &Path| fs::create_dir(path).unwrap()].into_iter().enumerate()
        {
            fs::remove_file(&path).unwrap();
            make(&path);
            let mut found = next(&mut file).await;
            if found == Err(io::ErrorKind::NotFound) {
                found = next(&mut file).await;
            }
            assert_eq!(found.unwrap_err(), io::ErrorKind::Unsupported);
            let other = folder.path().join("other");
            fs::write(&other, format!("after {round}")).unwrap();
            if path.is_dir() {
                fs::remove_dir(&path).unwrap();
            }
            fs::rename(&other, &path).unwrap();
            let mut found = next(&mut file).await;
            if found == Err(io::ErrorKind::NotFound) {
                found = next(&mut file).await;
            }
            assert_eq!(found.unwrap(), format!("after {round}"));
        }
    }

    #[test]
    fn a_file_that_is_read_now_is_read_only_when_nobody_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        let read = || read_settled(&path).map(|content| content.map(|bytes| bytes.to_vec()));
        assert_eq!(read().unwrap().unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, "one").unwrap();
        assert_eq!(read().unwrap().unwrap(), b"one");
        make_pipe(&folder.path().join("pipe"));
        let refused = read_settled(&folder.path().join("pipe")).unwrap();
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::Unsupported);
        thread::scope(|scope| {
            let (stop, stopped) = std::sync::mpsc::channel::<()>();
            let written = path.clone();
            scope.spawn(move || {
                // Once more in each look.
                let mut length = 0;
                while stopped.recv_timeout(Duration::from_millis(5)).is_err() {
                    length = (length + 1) % 1_000;
                    fs::write(&written, "x".repeat(length)).unwrap();
                }
            });
            assert!(read().is_none(), "it is being written");
            stop.send(()).unwrap();
        });
        assert!(read().unwrap().unwrap().starts_with(b"x"));
    }

    #[test]
    fn an_emptied_file_is_waited_for_when_it_is_read_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        fs::write(&path, "").unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(|| read_settled(&path));
            fs::write(&path, "whole").unwrap();
            assert_eq!(&*reader.join().unwrap().unwrap().unwrap(), b"whole");
        });
        fs::write(&path, "").unwrap();
        assert_eq!(&*read_settled(&path).unwrap().unwrap(), b"", "it stays so");
    }

    fn make_pipe(path: &Path) {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
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
