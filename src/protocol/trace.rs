//! W3C trace context: taken from the client (header first, then `params._meta`), passed to the MCP server with a span
//! id of ours. `tracestate` and `baggage` in `_meta` travel unchanged.

use crate::domain::random;

/// A parsed `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits: the caller's span.
    pub parent: String,
    /// 2 hex digits; bit 0: sampled.
    pub flags: String,
}

impl TraceContext {
    /// Reads `00-<trace>-<span>-<flags>`; anything malformed is no context.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace_id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |part: &str, len: usize| {
            part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
        let shaped = hex(version, 2) && hex(trace_id, 32) && hex(parent, 16) && hex(flags, 2);
        if !shaped || version == "ff" || zero(trace_id) || zero(parent) || (version == "00" && parts.next().is_some()) {
            return None;
        }
        Some(TraceContext { trace_id: trace_id.into(), parent: parent.into(), flags: flags.into() })
    }

    /// The `traceparent` to pass on, with a fresh span id of ours.
    pub fn child(&self) -> String {
        let span = u64::from_be_bytes(random::pooled()).max(1);
        format!("00-{}-{span:016x}-{}", self.trace_id, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_keeps_the_trace_and_has_its_own_span() {
        let context = TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        let child = TraceContext::parse(&context.child()).unwrap();
        assert_eq!((&child.trace_id, &child.flags), (&context.trace_id, &context.flags));
        assert_ne!(child.parent, context.parent);
    }

    #[test]
    fn malformed_contexts_are_no_context() {
        for bad in [
            "",
            "00",
            "00-0-0-0",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }
}
