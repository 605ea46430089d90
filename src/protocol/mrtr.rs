//! Calls of several rounds (2026-07-28): a result that asks for input, the answers, and the call made again with them.
//! Pure: reads and writes the shapes and keeps account of one round. Who asks whom is the call's business.

use std::ops::Range;

use super::{
    jsonrpc, meta,
    scan::{self, Envelope, Members, member, object_members},
    splice::json_string,
};

/// `resultType` of a result that asks for input.
pub const INPUT_REQUIRED: &str = "input_required";
/// The parameter that carries the answers.
pub const INPUT_RESPONSES: &str = "inputResponses";
/// The parameter that carries the server's state back to it.
pub const REQUEST_STATE: &str = "requestState";

/// One question of a round: where its parts stand in the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputRequest {
    /// Its key, as written, without quotes.
    pub key: Range<usize>,
    /// What is asked.
    pub method: String,
    /// The parameters.
    pub params: Option<Range<usize>>,
}

/// What a result asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputRequired {
    /// The questions.
    pub requests: Vec<InputRequest>,
    /// The server's state, as written, quotes included.
    pub state: Option<Range<usize>>,
}

/// Reads a result whose `resultType` is `input_required`; `None` if it has not the shape.
pub fn read(body: &[u8], env: &Envelope) -> Option<InputRequired> {
    let state = member(&env.result_members, body, REQUEST_STATE);
    if state.as_ref().is_some_and(|range| body.get(range.start) != Some(&b'"')) {
        return None;
    }
    let mut requests = Vec::new();
    if let Some(asked) = member(&env.result_members, body, "inputRequests") {
        if body.get(asked.start) != Some(&b'{') {
            return None;
        }
        for one in object_members(body, asked) {
            let members = object_members(body, one.value.clone());
            let method = member(&members, body, "method").and_then(|range| scan::string_value(body, range))?;
            requests.push(InputRequest {
                key: one.key,
                method: method.into_owned(),
                params: member(&members, body, "params"),
            });
        }
    }
    (state.is_some() || !requests.is_empty()).then_some(InputRequired { requests, state })
}

/// One round of a call that a legacy client made: what was asked of it and what it has answered.
#[derive(Debug, Default)]
pub struct Round {
    /// Key as written and answer, in the order of the questions.
    answers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    state: Option<Vec<u8>>,
}

impl Round {
    /// The round that `asked` (found in `body`) begins.
    pub fn new(body: &[u8], asked: &InputRequired) -> Self {
        let bytes = |range: Range<usize>| body.get(range).unwrap_or_default().to_vec();
        Round {
            answers: asked.requests.iter().map(|one| (bytes(one.key.clone()), None)).collect(),
            state: asked.state.clone().map(bytes),
        }
    }
    /// The answer (raw JSON) to question number `at`.
    pub fn answer(&mut self, at: usize, result: Vec<u8>) {
        if let Some((_, answer)) = self.answers.get_mut(at) {
            *answer = Some(result);
        }
    }
    /// Whether everything has been answered.
    pub fn is_complete(&self) -> bool {
        self.answers.iter().all(|(_, answer)| answer.is_some())
    }
    /// Whether the server asked for nothing but to be called again.
    pub fn is_only_state(&self) -> bool {
        self.answers.is_empty()
    }
    /// The members that the next request carries besides those of the first: `"inputResponses":…,"requestState":…`.
    pub fn members(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.answers.is_empty() {
            out.extend_from_slice(b"\"inputResponses\":{");
            for (at, (key, answer)) in self.answers.iter().enumerate() {
                out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
                out.extend_from_slice(key);
                out.extend_from_slice(b"\":");
                out.extend_from_slice(answer.as_deref().unwrap_or(b"null"));
            }
            out.push(b'}');
        }
        if let Some(state) = &self.state {
            out.extend_from_slice(if out.is_empty() { b"\"requestState\":" } else { b",\"requestState\":" });
            out.extend_from_slice(state);
        }
        out
    }
}

/// A question for a client of 2026-07-28.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The key under which it is answered.
    pub key: String,
    /// What is asked.
    pub method: String,
    /// The parameters, raw JSON.
    pub params: Vec<u8>,
}

/// The answer to a request, asking for input. `id` and `server_info` are raw JSON.
pub fn input_required<'a>(
    id: &[u8],
    asked: impl IntoIterator<Item = &'a Asked>,
    state: &str,
    server_info: &str,
) -> Vec<u8> {
    let mut requests = Vec::new();
    for one in asked {
        if !requests.is_empty() {
            requests.push(b',');
        }
        requests.extend_from_slice(json_string(&one.key).as_bytes());
        requests.extend_from_slice(format!(":{{\"method\":{},\"params\":", json_string(&one.method)).as_bytes());
        requests.extend_from_slice(&one.params);
        requests.push(b'}');
    }
    let tail =
        format!(r#"}},"requestState":{},"_meta":{{"{}":{server_info}}}}}"#, json_string(state), meta::SERVER_INFO);
    let result =
        [br#"{"resultType":"input_required","inputRequests":{"#.as_slice(), &requests, tail.as_bytes()].concat();
    jsonrpc::response(id, &result)
}

/// The answers a request brings, key by key.
pub fn responses(body: &[u8], env: &Envelope) -> Members {
    match member(&env.params_members, body, INPUT_RESPONSES) {
        Some(range) => object_members(body, range),
        None => Members::new(),
    }
}

/// The pages that an error -32042 wants opened before the call can be made: one elicitation each, keyed by its place.
pub fn consents(body: &[u8], env: &Envelope, word: impl Fn(Range<usize>) -> Vec<u8>) -> Vec<Asked> {
    let Some(error) = env.error.clone() else { return Vec::new() };
    let data = member(&object_members(body, error), body, "data").map(|range| object_members(body, range));
    let list = data.and_then(|data| member(&data, body, "elicitations"));
    let elements = list.map(|range| scan::array_elements(body, range)).unwrap_or_default();
    let asked = elements.into_iter().filter(|range| body.get(range.start) == Some(&b'{'));
    asked
        .enumerate()
        .map(|(at, range)| Asked {
            key: format!("page{at}"),
            method: super::question::ELICITATION.into(),
            params: word(range),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::protocol::scan::{Document, ScanLimits, scan};

    fn env(body: &str) -> Box<Envelope> {
        let Document::Object(env) = scan(body.as_bytes(), ScanLimits::default()).unwrap() else { panic!() };
        env
    }

    #[test]
    fn a_round_is_answered_with_bare_results_and_the_state_as_it_came() {
        let body = r#"{"jsonrpc":"2.0","id":"m","result":{"resultType":"input_required","requestState":"a\u0041=","inputRequests":{"k\"1":{"method":"roots/list"},"k2":{"method":"elicitation/create","params":{"message":"?"}}}}}"#;
        let asked = read(body.as_bytes(), &env(body)).unwrap();
        assert_eq!(
            asked.requests.iter().map(|one| one.method.as_str()).collect::<Vec<_>>(),
            ["roots/list", "elicitation/create"]
        );
        let mut round = Round::new(body.as_bytes(), &asked);
        round.answer(1, br#"{"action":"decline"}"#.to_vec());
        assert!(!round.is_complete());
        round.answer(0, br#"{"roots":[]}"#.to_vec());
        assert!(round.is_complete());
        assert_eq!(
            String::from_utf8(round.members()).unwrap(),
            r#""inputResponses":{"k\"1":{"roots":[]},"k2":{"action":"decline"}},"requestState":"a\u0041=""#
        );
    }

    #[test]
    fn a_round_may_carry_only_a_state_but_not_nothing() {
        let body = r#"{"result":{"resultType":"input_required","requestState":"s"}}"#;
        let asked = read(body.as_bytes(), &env(body)).unwrap();
        let round = Round::new(body.as_bytes(), &asked);
        assert!(round.is_complete());
        assert_eq!(round.members(), br#""requestState":"s""#);
        for bad in [
            r#"{"result":{"resultType":"input_required"}}"#,
            r#"{"result":{"requestState":7}}"#,
            r#"{"result":{"inputRequests":[]}}"#,
            r#"{"result":{"inputRequests":{"a":{}}}}"#,
            r#"{"result":{"inputRequests":{"a":5}}}"#,
        ] {
            assert_eq!(read(bad.as_bytes(), &env(bad)), None, "{bad}");
        }
    }

    #[test]
    fn a_question_for_a_modern_client_is_a_result() {
        let asked = [Asked { key: "q1".into(), method: "roots/list".into(), params: b"{}".to_vec() }];
        let message: Value =
            serde_json::from_slice(&input_required(b"7", &asked, "sealed", r#"{"name":"gw"}"#)).unwrap();
        assert_eq!(
            message,
            json!({ "jsonrpc": "2.0", "id": 7, "result": { "resultType": "input_required", "requestState": "sealed",
                "inputRequests": { "q1": { "method": "roots/list", "params": {} } },
                "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "gw" } } } })
        );
    }

    #[test]
    fn pages_to_open_first_become_questions() {
        let body = r#"{"error":{"code":-32042,"message":"no","data":{"elicitations":[{"mode":"url","url":"https://a"},5,{"url":"https://b"}]}}}"#;
        let asked = consents(body.as_bytes(), &env(body), |range| body.as_bytes()[range].to_vec());
        assert_eq!(asked.len(), 2);
        assert_eq!(
            (asked[1].key.as_str(), asked[1].params.as_slice()),
            ("page1", br#"{"url":"https://b"}"#.as_slice())
        );
    }
}
