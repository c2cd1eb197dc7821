//! The roll of tenants: a place for each one that asks, with its own rate and what it was answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::admission::tenants::asker::Asker;
use crate::admission::tenants::quota::Quota;
use crate::admission::tenants::terms::{TenantTerms, Terms};
use crate::domain::time::Moment;

/// The tenants that ask, by name and by place.
///
/// Tenants of the policy always have a place when they ask, and [`MOST_UNNAMED`] others besides. Who is idle for a while is
/// forgotten; those beyond the bound share one place, and so one weight and one rate, those of `default`.
#[derive(Clone, Debug)]
pub struct Roll {
    terms: Arc<Terms>,
    places: HashMap<Arc<str>, usize>,
    members: Vec<Member>,
    free: Vec<usize>,
    /// Members that the policy does not name.
    unnamed: usize,
    /// Where the next sweep begins.
    hand: usize,
    turned: Moment,
    /// The place found last: most requests come from the one that sent the last.
    last: usize,
}

/// What a tenant asked for and was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantReport {
    /// Its name.
    pub name: Arc<str>,
    /// Jobs let in since it has been on the roll, those not stored after all included.
    pub admitted: u64,
    /// Jobs refused since.
    pub refused: u64,
    /// Jobs asked for in the last ten to twenty seconds.
    pub asked_lately: u64,
}

#[derive(Clone, Debug)]
struct Member {
    name: Arc<str>,
    weight: u32,
    quota: Option<Quota>,
    watch: bool,
    named: bool,
    taken: bool,
    seen: Moment,
    admitted: u64,
    refused: u64,
    asked_now: u64,
    asked_before: u64,
}

impl Roll {
    /// A roll on which nobody has asked.
    pub fn new(terms: Arc<Terms>, now: Moment) -> Roll {
        let operators = Member::new("", &TenantTerms::UNLIMITED, true, now);
        let rest = Member::new("", &terms.default, true, now);
        Roll {
            terms,
            places: HashMap::new(),
            members: vec![operators, rest],
            free: Vec::new(),
            unnamed: 0,
            hand: 0,
            turned: now,
            last: OPERATORS,
        }
    }

    /// The place of a tenant that asks; `None` are the operators, who have neither rate nor name.
    pub fn enter(&mut self, tenant: Option<&str>, now: Moment) -> usize {
        let Some(name) = tenant else { return OPERATORS };
        let place = self.place(name).unwrap_or_else(|| self.add(name, now));
        if let Some(member) = self.members.get_mut(place) {
            member.seen = member.seen.max(now);
        }
        self.last = place;
        place
    }

    /// The place of a tenant that has one.
    pub fn place(&self, name: &str) -> Option<usize> {
        match self.members.get(self.last) {
            Some(member) if &*member.name == name && member.taken && self.last > REST => Some(self.last),
            _ => self.places.get(name).copied(),
        }
    }

    /// The place of a tenant, or the one shared by those that have none.
    pub fn place_or_rest(&self, tenant: Option<&str>) -> usize {
        tenant.map_or(OPERATORS, |name| self.place(name).unwrap_or(REST))
    }

    fn add(&mut self, name: &str, now: Moment) -> usize {
        let named = self.terms.named.contains_key(name);
        if !named && self.unnamed >= MOST_UNNAMED {
            return REST;
        }
        let member = Member::new(name, self.terms.of(name), named, now);
        self.unnamed += usize::from(!named);
        let name = Arc::clone(&member.name);
        let place = self.free.pop().unwrap_or(self.members.len());
        match self.members.get_mut(place) {
            Some(free) => *free = member,
            None => self.members.push(member),
        }
        self.places.insert(name, place);
        place
    }

    /// The tenant at a place as the gate sees it, where each job stands for `stands_for` of all replicas.
    pub fn asker(&mut self, place: usize, jobs: f64, now: Moment) -> Asker {
        let Some(member) = self.members.get_mut(place) else { return Asker::NOBODY };
        let quota = member.quota.as_mut().map(|quota| quota.seen(jobs, now));
        Asker { place, weight: member.weight, quota }
    }

    /// The tenant's own rate, if it has one.
    pub fn quota(&mut self, place: usize) -> Option<&mut Quota> {
        self.members.get_mut(place)?.quota.as_mut()
    }

    /// Whether the metrics name the tenant.
    pub fn is_watched(&self, place: usize) -> bool {
        self.members.get(place).is_some_and(|member| member.watch)
    }

    /// Counts what was answered.
    pub fn note(&mut self, place: usize, jobs: u32, admitted: bool) {
        let Some(member) = self.members.get_mut(place) else { return };
        let jobs = u64::from(jobs);
        member.asked_now = member.asked_now.saturating_add(jobs);
        let count = if admitted { &mut member.admitted } else { &mut member.refused };
        *count = count.saturating_add(jobs);
    }

    /// Puts other terms in force; what is used of a rate stays used.
    pub fn apply(&mut self, terms: &Arc<Terms>, now: Moment) {
        // The same document read twice is no change, and most reloads do not concern tenants.
        if Arc::ptr_eq(&self.terms, terms) || self.terms == *terms {
            return;
        }
        self.terms = Arc::clone(terms);
        self.unnamed = 0;
        for (place, member) in self.members.iter_mut().enumerate().skip(REST) {
            let named = self.terms.named.get(&member.name).filter(|_| place != REST);
            member.set(named.unwrap_or(&self.terms.default), now);
            member.named = named.is_some() || place == REST;
            self.unnamed += usize::from(!member.named && member.taken);
        }
    }

    /// Strikes some of those off who have been idle for long and used nothing of their rate; `left` hears each place.
    pub fn sweep(&mut self, now: Moment, mut left: impl FnMut(usize)) {
        if now.since(self.turned) >= LATELY {
            self.turned = now;
            for member in &mut self.members {
                member.asked_before = std::mem::take(&mut member.asked_now);
            }
        }
        for _ in 0..self.members.len().min(MOST_SWEPT) {
            self.hand = if self.hand + 1 < self.members.len() { self.hand + 1 } else { 0 };
            let place = self.hand;
            let Some(member) = self.members.get_mut(place).filter(|member| member.taken) else { continue };
            let is_unused = member.quota.as_mut().is_none_or(|quota| quota.is_unused(now));
            if place > REST && is_unused && now.since(member.seen) > IDLE {
                member.taken = false;
                self.unnamed -= usize::from(!member.named);
                self.places.remove(&member.name);
                self.free.push(place);
                left(place);
            }
        }
    }

    /// Those who asked for most of late, the loudest first, at most `most`.
    pub fn loudest(&self, most: usize) -> Vec<TenantReport> {
        let asked = |member: &Member| member.asked_now.saturating_add(member.asked_before);
        let mut loudest: Vec<&Member> =
            self.members.iter().skip(REST + 1).filter(|member| member.taken && asked(member) > 0).collect();
        loudest.sort_unstable_by(|one, other| asked(other).cmp(&asked(one)).then(one.name.cmp(&other.name)));
        loudest.truncate(most);
        let report = |member: &Member| TenantReport {
            name: Arc::clone(&member.name),
            admitted: member.admitted,
            refused: member.refused,
            asked_lately: asked(member),
        };
        loudest.into_iter().map(report).collect()
    }

    /// Tenants on the roll.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

impl Member {
    fn new(name: &str, terms: &TenantTerms, named: bool, now: Moment) -> Member {
        Member {
            name: Arc::from(name),
            weight: terms.weight,
            quota: terms.quota.map(|quota| Quota::unused(quota, now)),
            watch: terms.watch,
            named,
            taken: true,
            seen: now,
            admitted: 0,
            refused: 0,
            asked_now: 0,
            asked_before: 0,
        }
    }

    fn set(&mut self, terms: &TenantTerms, now: Moment) {
        self.weight = terms.weight;
        self.watch = terms.watch;
        match (&mut self.quota, terms.quota) {
            (Some(quota), Some(terms)) => quota.set(terms, now),
            (quota, terms) => *quota = terms.map(|terms| Quota::unused(terms, now)),
        }
    }
}

/// The operators' place: what they replay is nobody's.
const OPERATORS: usize = 0;

/// The place shared by those that have none of their own.
const REST: usize = 1;

/// Tenants on the roll that the policy does not name.
pub const MOST_UNNAMED: usize = 10_000;

/// Who has not asked for so long is forgotten: longer than most promises reach.
const IDLE: Duration = Duration::from_secs(600);

/// What is asked for is told of one to two of these.
const LATELY: Duration = Duration::from_secs(10);

/// Members looked at in one control step.
const MOST_SWEPT: usize = 1_024;
