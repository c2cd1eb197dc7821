//! A client of Redis that knows its protocol and nothing else: what the tests ask is not asked by the code under test.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// One connection; commands are answered in order.
#[derive(Debug)]
pub struct Resp(BufReader<TcpStream>);

/// What Redis answers (RESP2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Nil,
    /// A status such as `OK`.
    Simple(String),
    /// A refusal, `CODE and words`.
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Array(Vec<Reply>),
}

impl Resp {
    pub async fn connect(address: SocketAddr) -> Result<Resp, String> {
        let connecting = TcpStream::connect(address);
        let stream = tokio::time::timeout(PATIENCE, connecting).await.map_err(|_| "no connection in time")?;
        let stream = stream.map_err(|why| why.to_string())?;
        stream.set_nodelay(true).map_err(|why| why.to_string())?;
        Ok(Resp(BufReader::new(stream)))
    }

    /// The answer to one command.
    pub async fn ask<A: AsRef<[u8]>>(&mut self, command: &[A]) -> Result<Reply, String> {
        Ok(self.pipeline(&[command]).await?.remove(0))
    }

    /// The answers to several commands that are sent at once.
    pub async fn pipeline<A: AsRef<[u8]>>(&mut self, commands: &[&[A]]) -> Result<Vec<Reply>, String> {
        let mut wire = Vec::new();
        for command in commands {
            wire.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
            for word in *command {
                wire.extend_from_slice(format!("${}\r\n", word.as_ref().len()).as_bytes());
                wire.extend_from_slice(word.as_ref());
                wire.extend_from_slice(b"\r\n");
            }
        }
        let asking = async {
            self.0.write_all(&wire).await.map_err(|why| why.to_string())?;
            let mut replies = Vec::with_capacity(commands.len());
            for _ in commands {
                replies.push(self.reply().await?);
            }
            Ok(replies)
        };
        tokio::time::timeout(PATIENCE, asking).await.map_err(|_| format!("no answer in {PATIENCE:?}"))?
    }

    async fn reply(&mut self) -> Result<Reply, String> {
        let mut line = String::new();
        self.0.read_line(&mut line).await.map_err(|why| why.to_string())?;
        let line = line.strip_suffix("\r\n").ok_or("the connection ended")?;
        let (kind, rest) = line.split_at_checked(1).ok_or("an empty line")?;
        let number = || rest.parse::<i64>().map_err(|_| format!("not a number: {line}"));
        match kind {
            "+" => Ok(Reply::Simple(rest.into())),
            "-" => Ok(Reply::Error(rest.into())),
            ":" => Ok(Reply::Integer(number()?)),
            "$" => match usize::try_from(number()?) {
                Err(_) => Ok(Reply::Nil),
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.0.read_exact(&mut bytes).await.map_err(|why| why.to_string())?;
                    bytes.truncate(length);
                    Ok(Reply::Bulk(bytes))
                }
            },
            "*" => match usize::try_from(number()?) {
                Err(_) => Ok(Reply::Nil),
                Ok(length) => {
                    let mut replies = Vec::with_capacity(length);
                    for _ in 0..length {
                        replies.push(Box::pin(self.reply()).await?);
                    }
                    Ok(Reply::Array(replies))
                }
            },
            _ => Err(format!("not a reply: {line}")),
        }
    }
}

impl Reply {
    /// Fails the test where it is a refusal.
    #[track_caller]
    pub fn good(self) -> Reply {
        assert!(!matches!(self, Reply::Error(_)), "{self:?}");
        self
    }

    #[track_caller]
    pub fn integer(&self) -> i64 {
        match self {
            Reply::Integer(number) => *number,
            other => panic!("no number: {other:?}"),
        }
    }

    #[track_caller]
    pub fn count(&self) -> u64 {
        u64::try_from(self.integer()).unwrap_or_else(|_| panic!("less than nothing: {self:?}"))
    }

    #[track_caller]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Reply::Bulk(bytes) => bytes,
            Reply::Simple(text) => text.as_bytes(),
            other => panic!("no bytes: {other:?}"),
        }
    }

    #[track_caller]
    pub fn text(&self) -> &str {
        str::from_utf8(self.bytes()).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    /// The members of an array; none, if it is nil.
    #[track_caller]
    pub fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) => items,
            Reply::Nil => &[],
            other => panic!("no array: {other:?}"),
        }
    }

    /// The value after this name in a flat list of names and values.
    #[track_caller]
    pub fn field(&self, name: &str) -> &Reply {
        let mut pairs = self.items().chunks(2);
        let found = pairs.find(|pair| pair.first().is_some_and(|key| key.bytes() == name.as_bytes()));
        found.and_then(|pair| pair.get(1)).unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }
}

/// Longer than Redis may take for anything; a stopped one is noticed by it.
const PATIENCE: Duration = Duration::from_secs(30);
