//! What the metrics tell of tenants: only of those that the policy watches, since each is a series.

use prometheus::core::Collector;
use prometheus::{IntCounterVec, Registry};

use crate::admission::tenants::terms::Terms;
use crate::domain::code::Code;
use crate::telemetry::families as family;

/// Counts of the tenants that the policy watches.
#[derive(Debug)]
pub struct TenantCounts {
    admitted: IntCounterVec,
    refused: IntCounterVec,
}

impl TenantCounts {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<TenantCounts> {
        Ok(TenantCounts {
            admitted: family::TENANT_ADMITTED.counters(registry)?,
            refused: family::TENANT_REFUSED.counters(registry)?,
        })
    }

    /// Counts jobs stored.
    pub fn admitted(&self, tenant: &str, jobs: u64) {
        self.admitted.with_label_values(&[tenant]).inc_by(jobs);
    }

    /// Counts one job that the gate refused.
    pub fn refused(&self, tenant: &str, code: Code) {
        self.refused.with_label_values(&[tenant, code.as_str()]).inc();
    }

    /// Shows who is watched, and no more who was: else each change of the policy would leave its series behind.
    pub(super) fn show(&self, terms: &Terms) {
        for name in terms.watched() {
            self.admitted.with_label_values(&[&**name]);
            self.refused.with_label_values(&[&**name, Code::TenantQuota.as_str()]);
        }
        for name in self.names() {
            if terms.named.get(name.as_str()).is_none_or(|terms| !terms.watch) {
                // One that another request has removed is as good as removed here.
                let _gone = self.admitted.remove_label_values(&[name.as_str()]);
                for code in Code::ALL {
                    let _gone = self.refused.remove_label_values(&[name.as_str(), code.as_str()]);
                }
            }
        }
    }

    fn names(&self) -> Vec<String> {
        let families = [self.admitted.collect(), self.refused.collect()].concat();
        let labels = families
            .iter()
            .flat_map(|family| family.get_metric())
            .flat_map(|metric| metric.get_label())
            .filter(|label| label.name() == "tenant");
        let mut names: Vec<String> = labels.map(|label| label.value().to_owned()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::admission::tenants::terms::TenantTerms;

    fn watching(names: &[&str]) -> Terms {
        let terms = TenantTerms { watch: true, ..TenantTerms::UNLIMITED };
        Terms { named: names.iter().map(|name| (Arc::from(*name), terms)).collect(), ..Terms::default() }
    }

    #[test]
    fn who_is_watched_no_more_leaves_no_series_behind() {
        let counts = TenantCounts::new(&Registry::new()).unwrap();
        counts.show(&watching(&["acme", "other"]));
        counts.admitted("acme", 3);
        counts.refused("other", Code::Throttled);
        assert_eq!(counts.names(), ["acme", "other"]);
        counts.show(&watching(&["acme"]));
        assert_eq!(counts.names(), ["acme"]);
        assert_eq!(counts.admitted.with_label_values(&["acme"]).get(), 3, "the others are as they were");
        counts.show(&Terms::default());
        assert!(counts.names().is_empty());
    }
}
