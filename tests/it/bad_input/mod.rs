//! What no client should send: each gets its own clear answer, or a close, and the next good job is taken.
//!
//! A fault is a row of a table: bytes and what must come back ([`case`]). One file per kind of fault gives its rows;
//! to add one, add a row. [`corpus`] plays them all again and again and looks at the gateway's memory; [`mutants`]
//! makes faults that nobody thought of; [`sequences`] has what takes more than one request.

mod batches;
mod bodies;
mod calls;
mod case;
mod chunking;
mod codings;
mod corpus;
mod events;
mod fields;
mod heads;
mod mutants;
mod routes;
mod sequences;
mod smuggling;
