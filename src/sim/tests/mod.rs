//! The law in the plant: what is shipped, loads and chances beyond it, storms of clients.

mod bands;
mod shipped;
mod storms;
