//! Request heads, and everything that is read from them, through the router of clients and workers.

use super::contract;
use super::door::Door;
use super::request::Written;

/// Any request in its text form. One with an idempotency key that was stored gets its first receipt when it is sent again.
pub fn run(data: &[u8]) {
    let Some(asked) = Written::read(data) else { return };
    let door = Door::open(&asked.setting);
    let seen = door.ask(&asked);
    contract::check(&door, &asked, &seen);
    let [job] = seen.stored.as_slice() else { return };
    if job.keyed.is_none()
        || asked.uri.path() != "/v1/jobs"
        || asked.setting.mood != super::request::Mood::Stores
    {
        return;
    }
    let again = door.ask(&asked);
    contract::check(&door, &asked, &again);
    let receipt = contract::object(&again.body);
    assert_eq!(receipt["duplicate"], true, "{receipt:?}");
    assert_eq!(receipt["id"], job.id.to_string(), "a key stands for its first job");
}
