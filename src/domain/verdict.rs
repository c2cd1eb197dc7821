//! What a gate says of a job, in one word: the closed set that policies are compared by.

use std::fmt;

use crate::domain::code::Code;

/// The word for one decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Come in.
    Admitted,
    /// The tier's rate or window is used up.
    Throttled,
    /// A threshold is crossed.
    Shed,
    /// The hard bound is reached.
    QueueFull,
    /// The tenant has had its share.
    TenantQuota,
    /// The signal is lost and the policy shuts the tier.
    SignalStale,
    /// The sender wishes for a tier above its ceiling.
    TierNotAllowed,
    /// The rules ask for a body that nobody read.
    Undecided,
}

impl Verdict {
    /// Every one.
    pub const ALL: [Verdict; 8] = [
        Verdict::Admitted,
        Verdict::Throttled,
        Verdict::Shed,
        Verdict::QueueFull,
        Verdict::TenantQuota,
        Verdict::SignalStale,
        Verdict::TierNotAllowed,
        Verdict::Undecided,
    ];

    /// The word in metrics and status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Admitted => "admitted",
            Verdict::Throttled => "throttled",
            Verdict::Shed => "shed",
            Verdict::QueueFull => "queue_full",
            Verdict::TenantQuota => "tenant_quota",
            Verdict::SignalStale => "signal_stale",
            Verdict::TierNotAllowed => "tier_not_allowed",
            Verdict::Undecided => "undecided",
        }
    }

    /// The gate's word behind a refusal's code; `None` where something else refused.
    pub const fn of_refusal(code: Code) -> Option<Verdict> {
        match code {
            Code::Throttled => Some(Verdict::Throttled),
            Code::Shed => Some(Verdict::Shed),
            Code::QueueFull => Some(Verdict::QueueFull),
            Code::TenantQuota => Some(Verdict::TenantQuota),
            Code::SignalStale => Some(Verdict::SignalStale),
            _ => None,
        }
    }

    /// Whether two policies that say these disagree about the job: one takes it, the other does not.
    pub fn disagrees_with(self, other: Verdict) -> bool {
        self != Verdict::Undecided
            && other != Verdict::Undecided
            && (self == Verdict::Admitted) != (other == Verdict::Admitted)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_could_decide_is_no_disagreement() {
        assert!(Verdict::Admitted.disagrees_with(Verdict::Shed));
        assert!(Verdict::Shed.disagrees_with(Verdict::Admitted));
        assert!(!Verdict::Shed.disagrees_with(Verdict::Throttled));
        assert!(!Verdict::Admitted.disagrees_with(Verdict::Admitted));
        assert!(Verdict::ALL.iter().all(|word| !word.disagrees_with(Verdict::Undecided)));
    }
}
