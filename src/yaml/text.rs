//! The bytes of a file as the text of a document.

use crate::yaml::fault::Fault;
use crate::yaml::node::Place;

/// The text that these bytes are.
///
/// # Errors
/// They are not UTF-8; the fault is at the first byte that is not.
pub fn of(bytes: Vec<u8>) -> Result<String, Fault> {
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let text = String::from_utf8_lossy(good);
        let (line, before) = (text.matches('\n').count() + 1, text.rsplit('\n').next().unwrap_or_default());
        let place = Place::Text { line, column: before.chars().count() + 1 };
        Fault::error(place, "", "not text: a byte here is not UTF-8")
    })
}
