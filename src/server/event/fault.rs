//! Why an event is none, said with the attribute that breaks a rule.

/// What breaks the specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventFault {
    /// An attribute, or another member of a JSON event.
    #[error("the event's {name}: {rule}")]
    Attribute {
        /// Its name, no longer than is good to read.
        name: String,
        /// What it should have kept to.
        rule: Rule,
    },
    /// A JSON event that cannot be read.
    #[error("the event: {0}")]
    Unreadable(String),
    /// The attributes are longer than a job may carry: not against the specification, but more than is taken.
    #[error("the event's attributes together are longer than {0} bytes")]
    TooLong(usize),
}

impl EventFault {
    /// A broken rule.
    pub fn new(name: &str, rule: Rule) -> EventFault {
        EventFault::Attribute { name: name.chars().take(LONGEST_SHOWN).collect(), rule }
    }
}

/// The rules, each said so that a sender knows what to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// A required attribute.
    #[error("it is missing: every event has specversion, id, source and type")]
    Missing,
    /// An attribute that must say something.
    #[error("it is empty")]
    Empty,
    /// An attribute's name.
    #[error("a name of an attribute has the letters a to z and digits, nothing else")]
    Name,
    /// `ce-data`.
    #[error("no attribute has this name: the data is the body")]
    Reserved,
    /// `ce-datacontenttype`.
    #[error("in binary mode Content-Type says it")]
    ContentType,
    /// One name, two values.
    #[error("it is there more than once")]
    Twice,
    /// Another version.
    #[error("expected 1.0")]
    Version,
    /// A timestamp.
    #[error("expected a time of RFC 3339 such as 2026-01-31T12:00:00Z")]
    Time,
    /// A URI-reference.
    #[error("expected a URI-reference of RFC 3986 such as /shop/orders or https://example.com/orders")]
    UriReference,
    /// A URI.
    #[error("expected an absolute URI of RFC 3986 such as https://example.com/schema")]
    Uri,
    /// A media type.
    #[error("expected a media type such as application/json")]
    MediaType,
    /// Characters that no attribute has.
    #[error("it holds a control character or a code point that is no character")]
    Character,
    /// A quoted string in a header field.
    #[error("its double quotes do not pair: write a double quote as %22")]
    Quotes,
    /// Percent-encoding in a header field.
    #[error("a % is not followed by two hexadecimal digits: write the % itself as %25")]
    Escape,
    /// The bytes that escapes stand for.
    #[error("decoded, it is not valid UTF-8")]
    NotText,
    /// A JSON value of the wrong type.
    #[error("expected a text")]
    Text,
    /// A JSON number.
    #[error("expected a whole number of 32 bits, written without exponent")]
    Integer,
    /// A JSON object or array.
    #[error("expected a text, a whole number, true or false: only data is nested")]
    Nested,
    /// Binary data in JSON.
    #[error("expected a text in base64, with its padding")]
    Base64,
    /// `data` and `data_base64`.
    #[error("an event has either data or data_base64")]
    TwoDatas,
}

/// Of a name that may be anything: it comes back in an answer.
const LONGEST_SHOWN: usize = 40;
