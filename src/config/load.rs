//! Putting the settings together: defaults, then the file, then the environment, then `--set`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::decode::decode;
pub use crate::config::overrides::PREFIX;
use crate::config::overrides::{put_sets, put_variables};
use crate::config::{Backend, KeysFile, Settings};
use crate::domain::tier::TierMap;
use crate::policy::compile::{Compiled, compile};
use crate::policy::{DEFAULT_DOCUMENT, Requirement};
use crate::queue::embedded::settings::EmbeddedDurability;
use crate::queue::kafka::topics;
use crate::server::access::keys_file::read_keys;
use crate::yaml::decode::Field;
use crate::yaml::fault::{FaultLog, Faults};
use crate::yaml::node::{Node, Place};
use crate::yaml::read::read;
use crate::yaml::text;

/// Settings, and where they came from.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The file they were read from, if there was one.
    pub file: Option<PathBuf>,
    /// Whether anything named the policy's file: then it must be there.
    pub policy_named: bool,
}

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file named with `--config`; else [`DEFAULT_FILE`], if it exists.
    pub file: Option<PathBuf>,
    /// Environment variables; those that do not begin with [`PREFIX`] are not ours.
    pub variables: Vec<(String, String)>,
    /// The values of `--set`, each `key=value`.
    pub sets: Vec<String>,
}

/// Why there are no settings, or no policy.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read: it is missing, a folder, not ours to read, not text.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file was read and is wrong.
    #[error(transparent)]
    Faulty(#[from] Faults),
}

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "config/tidegate.yaml";

/// The top-level keys of a configuration: what tells it from a policy.
pub const TOP_LEVEL_KEYS: [&str; 15] = [
    "ingest",
    "admin",
    "policy",
    "backend",
    "embedded",
    "redis",
    "kafka",
    "spool",
    "limits",
    "auth",
    "share",
    "idempotency",
    "shutdown",
    "log",
    "telemetry",
];

/// Puts the settings together.
///
/// # Errors
/// A named file cannot be read; or every fault of file, environment and `--set`, each with its origin; or, when there is
/// none of these, every fault of the keys file.
pub fn load(sources: &Sources) -> Result<Loaded, LoadError> {
    let default = Path::new(DEFAULT_FILE);
    let file = sources.file.clone().or_else(|| default.exists().then(|| default.to_owned()));
    let document = match &file {
        Some(path) => read_text(path)?,
        None => String::new(),
    };
    let name = file.as_ref().map_or_else(|| "configuration".to_owned(), |path| path.display().to_string());
    let (mut settings, policy_named) = assemble(&document, name, sources)?;
    if let Some(KeysFile { path, table }) = &mut settings.keys {
        *table = read_keys(&read_text(path)?, &path.display().to_string())?;
    }
    Ok(Loaded { settings, file, policy_named })
}

/// The settings of a document and of what stands beside it, and whether they name a policy.
///
/// # Errors
/// Every fault of document, environment and `--set`, each with its origin.
pub fn assemble(document: &str, name: String, sources: &Sources) -> Result<(Settings, bool), Faults> {
    let mut faults = Vec::new();
    let mut root = read(document).unwrap_or_else(|found| {
        faults = found;
        Node::empty(Place::Document)
    });
    put_variables(&mut root, &sources.variables, &mut faults);
    put_sets(&mut root, &sources.sets, &mut faults);
    let log = FaultLog::default();
    let settings = decode(&Field::root(&root, &log), &log);
    faults.extend(log.into_list());
    if faults.is_empty() {
        return Ok((settings, root.entry("policy").is_some()));
    }
    faults.sort_by(|a, b| a.place.cmp(&b.place));
    Err(Faults { document: name, list: faults })
}

impl Loaded {
    /// Whether the policy comes from a file; else it is the built-in one.
    pub fn has_policy_file(&self) -> bool {
        self.policy_named || self.settings.policy.exists()
    }

    /// Compiles the policy that the settings name; the built-in one where nothing names a policy and the default
    /// file does not exist.
    ///
    /// # Errors
    /// The policy's file cannot be read; or every fault in it, tiers that require more than the backend gives included.
    pub fn policy(&self) -> Result<Compiled, LoadError> {
        let path = &self.settings.policy;
        let name = path.display().to_string();
        let compiled = if self.has_policy_file() {
            compile(&read_text(path)?, &name)?
        } else {
            compile(DEFAULT_DOCUMENT, "the built-in policy")?
        };
        let mut unmet = compiled.policy.unmet_requirements(self.settings.reached_durability());
        if self.settings.backend == Backend::Kafka {
            let queues = TierMap::from_fn(|tier| compiled.policy.tiers[tier].queue.to_string());
            unmet.extend(compiled.policy.unfit_queues(&topics::unfit(&queues)));
        }
        if unmet.is_empty() { Ok(compiled) } else { Err(Faults { document: name, list: unmet }.into()) }
    }
}

impl Settings {
    /// The durability that a receipt reaches at best under these settings; `None` is less than a disk's.
    pub const fn reached_durability(&self) -> Option<Requirement> {
        match self.backend {
            Backend::Embedded => match self.embedded.durability {
                EmbeddedDurability::Disk => Some(Requirement::Disk),
                EmbeddedDurability::Relaxed => None,
            },
            Backend::Redis if self.redis.wait_replicas > 0 => Some(Requirement::Replicated),
            Backend::Redis => Some(Requirement::Disk),
            // What the topics give is known when they were read.
            Backend::Kafka => Some(Requirement::Replicated),
        }
    }
}

/// Reads a text file.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, LoadError> {
    let path_text = path.display().to_string();
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(source) => return Err(LoadError::Unreadable { path: path_text, source }),
    };
    text::of(bytes).map_err(|fault| Faults { document: path_text, list: vec![fault] }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AnonymousScopes, ShutdownSettings};
    use crate::telemetry::log::LogFormat;

    const SHIPPED: &str = include_str!("../../config/tidegate.yaml");

    fn sources(variables: &[(&str, &str)], sets: &[&str]) -> Sources {
        Sources {
            file: None,
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            sets: sets.iter().map(|set| (*set).to_owned()).collect(),
        }
    }

    fn settings(document: &str, variables: &[(&str, &str)], sets: &[&str]) -> Settings {
        assemble(document, "f".to_owned(), &sources(variables, sets)).unwrap().0
    }

    fn faults(document: &str, variables: &[(&str, &str)], sets: &[&str]) -> Vec<String> {
        let faults = assemble(document, "f".to_owned(), &sources(variables, sets)).unwrap_err();
        faults.to_string().lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_shipped_file_shows_the_defaults() {
        assert_eq!(settings(SHIPPED, &[], &[]), Settings::default());
        assert_eq!(settings("", &[], &[]), Settings::default());
    }

    /// Every key of the contract: in the shipped file, and either read or refused as not available yet.
    #[test]
    fn the_shipped_file_shows_every_key() {
        let keys = "ingest.listen ingest.tls ingest.trusted_proxies ingest.cors admin.listen admin.token_file admin.hosts admin.tls policy backend embedded.path \
            embedded.durability embedded.max_bytes redis.url redis.structure redis.group \
            redis.connections redis.timeout redis.wait_replicas redis.trim kafka.brokers kafka.group kafka.timeout kafka.properties spool.path spool.max_bytes limits.max_job_bytes limits.max_batch_bytes \
            limits.max_batch_jobs limits.max_connections limits.max_in_flight_bytes limits.request_timeout \
            limits.header_timeout limits.client_rate auth.keys_file auth.anonymous share.mode share.redis_url \
            idempotency.keep idempotency.max_keys idempotency.path shutdown.delay shutdown.grace log.format log.level telemetry.otlp_endpoint \
            telemetry.classic_metric_names";
        for key in keys.split_whitespace() {
            let leaf = key.rsplit('.').next().unwrap();
            let line = SHIPPED
                .lines()
                .find(|line| line.trim_start_matches([' ', '#']).starts_with(&format!("{leaf}:")));
            let line = line.unwrap_or_else(|| panic!("{key} is not shown"));
            assert!(line.contains('#'), "{key} has no comment");
            let told = faults("", &[], &[&format!("{key}=[[[]]]")]).join(" ");
            assert!(!told.contains("unknown key"), "{told}");
            let unavailable = line.contains("not available yet") && line.trim_start().starts_with('#');
            assert_eq!(told.contains("not available yet"), unavailable, "{told}");
        }
    }

    #[test]
    fn the_later_source_is_the_stronger() {
        let document = "log: { level: warn, format: json }\nshutdown: { delay: 1s, grace: 2s }\n";
        let environment = [("TIDEGATE_LOG__LEVEL", "error"), ("TIDEGATE_SHUTDOWN__GRACE", "3s")];
        let settings = settings(document, &environment, &["shutdown.grace=4s", "shutdown.grace=5s"]);
        assert_eq!(settings.log.format, LogFormat::Json);
        assert_eq!(settings.log.level, tracing::Level::ERROR);
        let expected = ShutdownSettings {
            delay: std::time::Duration::from_secs(1),
            grace: std::time::Duration::from_secs(5),
        };
        assert_eq!(settings.shutdown, expected);
    }

    #[test]
    fn lists_can_be_set_beside_the_file() {
        let both = AnonymousScopes { submit: true, lease: true };
        assert_eq!(settings("", &[("TIDEGATE_AUTH__ANONYMOUS", "[submit, lease]")], &[]).anonymous, both);
        assert_eq!(settings("", &[], &["auth.anonymous=[submit, lease]"]).anonymous, both);
    }

    #[test]
    fn an_ipv6_address_beside_the_file_is_no_list() {
        let address = "[::1]:8081".parse().unwrap();
        assert_eq!(settings("", &[("TIDEGATE_INGEST__LISTEN", "[::1]:8081")], &[]).ingest.listen, address);
        assert_eq!(settings("", &[], &["ingest.listen=[::1]:8081"]).ingest.listen, address);
    }

    #[test]
    fn every_fault_names_its_origin() {
        let told = faults(
            "log: { level: loud }\n",
            &[("TIDEGATE_LOG__FORMT", "json"), ("TIDEGATE_SHUTDOWN__GRACE", "soon"), ("TIDEGATE_", "x")],
            &["ingest.lisen=127.0.0.1:1", "admin.hosts=[a", "limits", "admin.listen=0.0.0.0:1"],
        );
        let expected = [
            "f:1:15: log.level: `loud` is unknown, valid here: error, warn, info, debug, trace",
            "--set admin.hosts: admin.hosts: not YAML: ",
            "--set ingest.lisen: ingest.lisen: unknown key, did you mean `listen`?",
            "--set limits: expects key=value such as ingest.listen=127.0.0.1:8081",
            "TIDEGATE_: expects a key such as ingest.listen",
            "TIDEGATE_LOG__FORMT: log.formt: unknown key, did you mean `format`?",
            "TIDEGATE_SHUTDOWN__GRACE: shutdown.grace: expects a duration such as 100ms, 5s, 30min or 2h, found `soon`",
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}");
        }
    }

    #[test]
    fn service_links_of_kubernetes_are_not_taken_for_keys() {
        let links = [
            ("TIDEGATE_PORT", "tcp://10.0.0.1:8080"),
            ("TIDEGATE_SERVICE_HOST", "10.0.0.1"),
            ("TIDEGATE_SERVICE_PORT", "8080"),
            ("TIDEGATE_SERVICE_PORT_INGEST", "8080"),
            ("TIDEGATE_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ];
        assert_eq!(settings("", &links, &[]), Settings::default());
    }

    #[test]
    fn beyond_loopback_anonymous_leases_only_where_asked_for() {
        assert!(settings("", &[], &[]).anonymous_may_lease());
        assert!(!settings("", &[], &["ingest.listen=0.0.0.0:8080"]).anonymous_may_lease());
        let asked = ["ingest.listen=0.0.0.0:8080", "auth.anonymous=[lease]"];
        assert!(settings("", &[], &asked).anonymous_may_lease());
    }

    #[test]
    fn a_named_file_must_be_there_and_an_unnamed_policy_need_not() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none.yaml");
        let named = Sources { file: Some(missing.clone()), ..Sources::default() };
        assert!(matches!(load(&named), Err(LoadError::Unreadable { .. })));
        let mut loaded = Loaded { settings: Settings::default(), file: None, policy_named: false };
        loaded.settings.policy = missing;
        assert_eq!(loaded.policy().unwrap().policy.document, DEFAULT_DOCUMENT);
        loaded.policy_named = true;
        assert!(matches!(loaded.policy(), Err(LoadError::Unreadable { .. })));
    }

    #[test]
    fn settings_can_be_shown_without_their_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let digest = "0123456789abcdef".repeat(4);
        let keys = format!("keys: [{{ name: a, tenant: b, sha256: {digest}, scopes: [submit] }}]");
        let sets = [
            format!("admin.token_file={}", file("token", "s3cr3t-0123456789abcdef")),
            format!("auth.keys_file={}", file("keys.yaml", &keys)),
            "redis.url=redis://user:s3cr3t@127.0.0.1:6379".to_owned(),
            "share.mode=redis".to_owned(),
            "share.redis_url=redis://user:s3cr3t@127.0.0.1:6380".to_owned(),
            "backend=redis".to_owned(),
            "kafka.properties.sasl.password=s3cr3t".to_owned(),
        ];
        let config = file("config.yaml", "");
        let loaded = load(&Sources { file: Some(config.into()), variables: Vec::new(), sets: sets.to_vec() });
        let loaded = loaded.unwrap();
        assert_eq!(loaded.settings.keys.as_ref().unwrap().table.len(), 1);
        let shown = format!("{loaded:?}");
        assert!(shown.contains("KeyTable(1 keys)") && shown.contains("6380"), "{shown}");
        assert!(!shown.contains("s3cr3t") && !shown.contains(&digest), "{shown}");
        assert!(!shown.contains("1, 35, 69, 103"), "the digest's bytes: {shown}");
    }

    #[test]
    fn a_policy_that_requires_more_than_the_backend_gives_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.yaml");
        fs::write(&path, "tiers: { p0: { target: { depth: 1 }, max_depth: 2, require: disk } }").unwrap();
        let set = format!("policy={}", path.display());
        let loaded = |sets: &[&str]| {
            let (settings, policy_named) = assemble("", "f".to_owned(), &sources(&[], sets)).unwrap();
            Loaded { settings, file: None, policy_named }
        };
        assert!(loaded(&[&set]).policy().is_ok());
        let refused = loaded(&[&set, "embedded.durability=relaxed"]).policy().unwrap_err();
        assert!(refused.to_string().contains("tiers.p0.require"), "{refused}");
        fs::write(&path, "tiers: { p0: { queue: '{jobs}:bulk', target: { depth: 1 }, max_depth: 2 } }")
            .unwrap();
        assert!(loaded(&[&set]).policy().is_ok());
        let refused = loaded(&[&set, "backend=kafka"]).policy().unwrap_err();
        assert!(
            refused.to_string().contains("tiers.p0.queue: Kafka has no topic `{jobs}.bulk`"),
            "{refused}"
        );
    }
}
