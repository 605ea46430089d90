//! Unambiguous concatenation for keys and MACs: `LP(x)` is a 32-bit big-endian length followed by the bytes.
//! Two different lists of fields never give the same bytes, so nothing can be moved from one field to the next.

/// Builds the bytes that a tag or a MAC covers.
#[derive(Default)]
pub struct Framed(Vec<u8>);

impl Framed {
    /// Starts with the domain separation label, itself length-prefixed.
    pub fn new(label: &str) -> Self {
        Framed::default().bytes(label.as_bytes())
    }
    /// Appends `LP(bytes)`.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        // No field here comes near 4 GiB (values are limited to 8 KiB); saturating keeps the function total.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }
    /// Appends a number of fixed width.
    pub fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }
    /// Appends a number of fixed width.
    pub fn u64(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }
    /// The finished bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_byte_between_fields_changes_the_bytes() {
        let one = Framed::new("t").bytes(b"ab").bytes(b"c").finish();
        let two = Framed::new("t").bytes(b"a").bytes(b"bc").finish();
        assert_ne!(one, two);
    }
}
