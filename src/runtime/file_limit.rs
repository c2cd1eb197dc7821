//! Asks the system for as many open files as the bound on connections needs: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// Raises the process's soft limit to what is needed, as far as the hard limit allows; gives what is allowed then.
pub fn raise(needed: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let before = current.unwrap_or(u64::MAX);
    if before >= needed {
        return before;
    }
    let wanted = needed.min(maximum.unwrap_or(u64::MAX));
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => {
            info!(from = before, to = wanted, "the limit on open files is raised");
            wanted
        }
        Err(error) => {
            warn!(%error, "the limit on open files cannot be raised");
            before
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        assert!(raise(64) >= 64);
        let allowed = raise(u64::MAX);
        assert_eq!(allowed, maximum.unwrap_or(u64::MAX));
        assert_eq!(raise(64), allowed, "it is never lowered");
    }
}
