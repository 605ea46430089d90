//! What a server asks a client in the middle of a call: sampling, elicitation, roots. Which capability each question
//! needs, what an answer must look like, and how a question is worded for the client of another era. Decides nothing
//! about who is asked and how long is waited.

use std::{borrow::Cow, ops::Range};

use super::{
    meta::{self, rebuild},
    scan::{self, Members, member, object_members, string_value},
    session_id::ClientCapabilities,
    splice::{Splice, json_string},
};

/// A model is to write something.
pub const SAMPLING: &str = "sampling/createMessage";
/// A person is to fill in a form or to open a page.
pub const ELICITATION: &str = "elicitation/create";
/// Which folders are open.
pub const ROOTS: &str = "roots/list";

/// Why a client is not asked, as the JSON-RPC error its server gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undeclared {
    /// -32601: the capability was not declared; -32602: it was, but not in this form.
    pub code: i64,
    /// What is missing.
    pub message: &'static str,
}

/// Whether a client that declared `declared` may be asked this. `params` is where the question's parameters stand.
pub fn may_ask(
    method: &str,
    body: &[u8],
    params: Option<Range<usize>>,
    declared: ClientCapabilities,
) -> Result<(), Undeclared> {
    let members = params.map(|range| object_members(body, range)).unwrap_or_default();
    let needs = |bit: u16, code: i64, message: &'static str| match declared.has(bit) {
        true => Ok(()),
        false => Err(Undeclared { code, message }),
    };
    match method {
        SAMPLING => {
            needs(ClientCapabilities::SAMPLING, -32601, "The client did not declare sampling")?;
            match member(&members, body, "tools") {
                Some(_) => {
                    needs(ClientCapabilities::SAMPLING_TOOLS, -32602, "The client did not declare sampling.tools")
                }
                None => Ok(()),
            }
        }
        ELICITATION => {
            let some = ClientCapabilities::ELICITATION_FORM | ClientCapabilities::ELICITATION_URL;
            if declared.0 & some == 0 {
                return Err(Undeclared { code: -32601, message: "The client did not declare elicitation" });
            }
            match by_url(body, &members) {
                true => {
                    needs(ClientCapabilities::ELICITATION_URL, -32602, "The client did not declare elicitation.url")
                }
                false => {
                    needs(ClientCapabilities::ELICITATION_FORM, -32602, "The client did not declare elicitation.form")
                }
            }
        }
        ROOTS => needs(ClientCapabilities::ROOTS, -32601, "The client did not declare roots"),
        _ => Err(Undeclared { code: -32601, message: "Not supported by this client" }),
    }
}

fn by_url(body: &[u8], members: &Members) -> bool {
    member(members, body, "mode").and_then(|range| string_value(body, range)).as_deref() == Some("url")
}

/// How a question is worded for its client.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wording<'a> {
    /// Put before an elicitation's message: who asks.
    pub label: &'a str,
    /// The client speaks 2026-07-28, which has no `elicitationId`.
    pub modern_client: bool,
    /// Given to an elicitation by URL that has no `elicitationId` (a legacy client wants one).
    pub elicitation_id: Option<&'a str>,
}

/// The parameters of a question for the client; everything but what [`Wording`] names stays byte for byte.
pub fn params_for(method: &str, body: &[u8], params: Option<Range<usize>>, wording: &Wording<'_>) -> Vec<u8> {
    let Some(params) = params.filter(|range| body.get(range.start) == Some(&b'{')) else { return b"{}".to_vec() };
    let members = object_members(body, params.clone());
    let meta_at = member(&members, body, "_meta");
    let meta_members = meta_at.clone().map(|range| object_members(body, range)).unwrap_or_default();
    let kept = |key: &str| !meta::is_per_hop(key) && key != meta::PROGRESS_TOKEN;
    let new_meta = rebuild(body, &meta_members, kept, &[]);
    let elicits = method == ELICITATION;
    let message = member(&members, body, "message").filter(|_| elicits);
    let said = message.clone().and_then(|range| string_value(body, range));
    let labelled = said.map(|text| json_string(&format!("[{}] {text}", wording.label)));
    let named = member(&members, body, "elicitationId").is_some();
    let given = wording.elicitation_id.filter(|_| elicits && !named && by_url(body, &members));
    let given = given.map(|id| format!("\"elicitationId\":{},", json_string(id))).unwrap_or_default();

    // Put in before anything is taken away at the same place.
    let mut splice = Splice::new(body).replace(0..params.start, b"").insert(params.start + 1, given.as_bytes());
    splice = splice.replace(params.end..body.len(), b"");
    if let (Some(range), Some(new_meta)) = (meta_at, &new_meta) {
        splice = splice.replace(range, new_meta);
    }
    if let (Some(range), Some(labelled)) = (message, &labelled) {
        splice = splice.replace(range, labelled.as_bytes());
    }
    if elicits && wording.modern_client && named {
        splice = super::answer::without(splice, &members, |m| scan::key_is(body, m, "elicitationId"));
    }
    splice.finish()
}

/// Whether `result` (raw JSON) can be the answer to a question of that method; what is not is asked again.
pub fn fits(method: &str, result: &[u8]) -> bool {
    let members = object_members(result, 0..result.len());
    let has = |name: &str, first: u8| {
        member(&members, result, name).is_some_and(|range| result.get(range.start) == Some(&first))
    };
    match method {
        ELICITATION => {
            let action = member(&members, result, "action").and_then(|range| string_value(result, range));
            matches!(action.as_deref(), Some("accept" | "decline" | "cancel"))
        }
        ROOTS => has("roots", b'['),
        SAMPLING => has("role", b'"') && (has("content", b'{') || has("content", b'[')),
        _ => false,
    }
}

/// Whether an elicitation's answer is consent.
pub fn accepts(result: &[u8]) -> bool {
    let members = object_members(result, 0..result.len());
    member(&members, result, "action").and_then(|range| string_value(result, range)).as_deref() == Some("accept")
}

/// What a server is told when nobody answered: an elicitation is cancelled, everything else fails. As the members
/// `result` or `error` of a response.
pub fn unanswered(method: &str, id: &[u8], why: &str) -> Vec<u8> {
    match method {
        ELICITATION => super::jsonrpc::response(id, br#"{"action":"cancel"}"#),
        _ => super::jsonrpc::error(Some(id), -32603, why, None),
    }
}

/// The capabilities of a client as a server is told them: what was declared and can be carried.
pub fn capabilities_json(declared: ClientCapabilities) -> Cow<'static, str> {
    use ClientCapabilities as C;
    if declared.0 & C::ASKABLE == 0 {
        return "{}".into();
    }
    let part = |bit: u16, text: &'static str| declared.has(bit).then_some(text);
    let mut parts: Vec<String> = Vec::new();
    if declared.has(C::SAMPLING) {
        let inner = [part(C::SAMPLING_TOOLS, r#""tools":{}"#), part(C::SAMPLING_CONTEXT, r#""context":{}"#)];
        parts.push(format!(r#""sampling":{{{}}}"#, inner.into_iter().flatten().collect::<Vec<_>>().join(",")));
    }
    let modes = [part(C::ELICITATION_FORM, r#""form":{}"#), part(C::ELICITATION_URL, r#""url":{}"#)];
    let modes: Vec<&str> = modes.into_iter().flatten().collect();
    if !modes.is_empty() {
        parts.push(format!(r#""elicitation":{{{}}}"#, modes.join(",")));
    }
    if declared.has(C::ROOTS) {
        let changes = part(C::ROOTS_LIST_CHANGED, r#""listChanged":true"#).unwrap_or_default();
        parts.push(format!(r#""roots":{{{changes}}}"#));
    }
    format!("{{{}}}", parts.join(",")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = r#"{"mode":"form","message":"Sure?","requestedSchema":{"type":"object","n":1e400},"_meta":{"progressToken":3,"a":1}}"#;
    const URL: &str = r#"{"elicitationId":"e1","mode":"url","url":"https://x","message":"Go"}"#;

    fn worded(params: &str, wording: &Wording<'_>) -> String {
        String::from_utf8(params_for(ELICITATION, params.as_bytes(), Some(0..params.len()), wording)).unwrap()
    }
    fn asked(method: &str, params: &str, bits: u16) -> Result<(), i64> {
        may_ask(method, params.as_bytes(), Some(0..params.len()), ClientCapabilities(bits)).map_err(|no| no.code)
    }

    #[test]
    fn only_what_was_declared_is_asked() {
        use ClientCapabilities as C;
        assert_eq!(asked(SAMPLING, "{}", 0), Err(-32601));
        assert_eq!(asked(SAMPLING, "{}", C::SAMPLING), Ok(()));
        assert_eq!(asked(SAMPLING, r#"{"tools":[]}"#, C::SAMPLING), Err(-32602));
        assert_eq!(asked(ELICITATION, FORM, C::ROOTS), Err(-32601));
        assert_eq!(asked(ELICITATION, FORM, C::ELICITATION_FORM), Ok(()));
        assert_eq!(asked(ELICITATION, "{}", C::ELICITATION_FORM), Ok(()));
        assert_eq!(asked(ELICITATION, URL, C::ELICITATION_FORM), Err(-32602));
        assert_eq!(asked(ELICITATION, FORM, C::ELICITATION_URL), Err(-32602));
        assert_eq!(asked(ROOTS, "{}", C::SAMPLING), Err(-32601));
        assert_eq!(asked("tasks/get", "{}", u16::MAX), Err(-32601));
    }

    #[test]
    fn a_question_names_who_asks_and_else_stays_as_it_was() {
        let to = Wording { label: "github", ..Wording::default() };
        assert_eq!(
            worded(FORM, &to),
            r#"{"mode":"form","message":"[github] Sure?","requestedSchema":{"type":"object","n":1e400},"_meta":{"a":1}}"#
        );
        assert_eq!(
            worded(URL, &to),
            r#"{"elicitationId":"e1","mode":"url","url":"https://x","message":"[github] Go"}"#
        );
        let modern = Wording { modern_client: true, ..to };
        assert_eq!(worded(URL, &modern), r#"{"mode":"url","url":"https://x","message":"[github] Go"}"#);
        let named = Wording { elicitation_id: Some("g7"), ..to };
        assert_eq!(
            worded(r#"{"mode":"url","message":"Go"}"#, &named),
            r#"{"elicitationId":"g7","mode":"url","message":"[github] Go"}"#
        );
        assert_eq!(worded(r#"{"message":"Go"}"#, &named), r#"{"message":"[github] Go"}"#);
    }

    #[test]
    fn an_answer_must_have_the_shape_of_its_question() {
        assert!(fits(ELICITATION, br#"{"action":"accept","content":{}}"#));
        assert!(!fits(ELICITATION, br#"{"action":"maybe"}"#));
        assert!(fits(ROOTS, br#"{"roots":[]}"#) && !fits(ROOTS, b"{}") && !fits(ROOTS, b"[]"));
        assert!(fits(SAMPLING, br#"{"role":"assistant","content":{"type":"text","text":"x"},"model":"m"}"#));
        assert!(!fits(SAMPLING, br#"{"role":"assistant"}"#));
        assert!(accepts(br#"{"action":"accept"}"#) && !accepts(br#"{"action":"decline"}"#));
    }

    #[test]
    fn declared_capabilities_are_told_as_they_were_declared() {
        for json in [
            "{}",
            r#"{"sampling":{}}"#,
            r#"{"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}},"roots":{"listChanged":true}}"#,
            r#"{"elicitation":{"url":{}}}"#,
            r#"{"roots":{}}"#,
        ] {
            assert_eq!(capabilities_json(ClientCapabilities::from_json(json.as_bytes())), json);
        }
        let tasks = ClientCapabilities::from_json(br#"{"elicitation":{},"tasks":{}}"#);
        assert_eq!(capabilities_json(tasks), r#"{"elicitation":{"form":{}}}"#);
    }
}
