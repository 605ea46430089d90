//! The known answers that the cryptographic tests share: made by an independent implementation, never by this one.

/// The vectors, as JSON.
pub fn known_answers() -> serde_json::Value {
    serde_json::from_str(include_str!("known_answers.json")).unwrap()
}

/// Bytes of a hex text.
pub fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Bytes of a named vector.
pub fn vector(name: &str) -> Vec<u8> {
    hex(known_answers()[name].as_str().unwrap())
}

/// A named vector that is an id.
pub fn id(name: &str) -> uuid::Uuid {
    uuid::Uuid::from_slice(&vector(name)).unwrap()
}
