//! A skill, spoken to as if it were an MCP server of 2026-07-28 with one tool and one resource: policy, pins, limits,
//! statistics and secrets are those of every server. A skill that is a document answers here; the other kind asks its
//! worker, over the same guarded client and within the same deadlines as any server.
//!
//! A worker is sent `{"tool":…,"input":…}` and answers `{"content":[…]}`. It gets the skill's secrets as headers and
//! nothing else of the call.

use std::{rc::Rc, sync::Arc};

use awc::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::{
    domain::{clock, skill::Skill},
    protocol::{
        jsonrpc,
        revision::Revision,
        scan::{self, Document, Envelope, ScanLimits},
        splice::json_string,
    },
    upstream::{
        Answer, Connected, ServerDef, UpstreamError, Wire,
        client::HttpClient,
        exchange::{Endpoint, Outgoing, Stage},
        lists::{Kind, Offer},
        patience::Patience,
    },
};

/// Values in a worker's answer.
const ANSWER_VALUES: usize = 4_000_000;
/// Nesting of a worker's answer: one level less than an answer may have, which is what becomes of it.
const ANSWER_DEPTH: usize = 127;

/// See the module. Belongs to one lane.
pub struct SkillPeer {
    def: Arc<ServerDef>,
    worker: Option<Rc<Endpoint>>,
    /// Longest answer, bytes.
    most: usize,
}

/// What a skill is, as a server would say it.
pub fn connected(skill: &Skill) -> Connected {
    let info = json!({ "name": skill.name, "version": skill.version });
    Connected {
        wire: Wire::Modern { revision: Revision::MODERN },
        server_info: serde_json::value::to_raw_value(&info).ok(),
        capabilities: json!({ "tools": {}, "resources": {} }),
        instructions: None,
        at: clock::now(),
    }
}

/// What a skill offers: its tool, and its document as a resource.
pub fn offer(skill: &Skill) -> Offer {
    Offer::empty(Arc::new(connected(skill)))
        .listing(Kind::Tools, vec![skill.tool_json()])
        .listing(Kind::Resources, vec![skill.resource_json()])
}

/// What a worker must answer.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, rename = "content")]
    _content: Vec<&'a RawValue>,
    #[serde(borrow, rename = "resultType")]
    kind: Option<&'a RawValue>,
}

impl SkillPeer {
    /// The skill that `def` is, if it is one; its worker gets `injected`.
    pub fn of(
        client: &HttpClient,
        def: &Arc<ServerDef>,
        injected: &[(HeaderName, HeaderValue)],
    ) -> Result<Option<Rc<Self>>, UpstreamError> {
        let Some(skill) = def.spec.skill() else { return Ok(None) };
        let worker = skill.worker.as_ref().map(|url| Endpoint::new(client, url, Stage::Handshake, injected));
        let worker = worker.transpose()?.map(Rc::new);
        Ok(Some(Rc::new(SkillPeer { def: def.clone(), worker, most: client.limits().answer_bytes })))
    }

    /// Answers one message. `extra`: further headers for a worker.
    pub async fn send(
        &self,
        body: &Bytes,
        extra: &[(HeaderName, HeaderValue)],
        patience: Patience,
    ) -> Result<Answer, UpstreamError> {
        let nonsense = || UpstreamError::Protocol("what was sent to it is not one message".into());
        let Ok(Document::Object(env)) = scan::scan(body, ScanLimits::default()) else { return Err(nonsense()) };
        let (Some(skill), Some(method)) = (self.def.spec.skill(), env.method_str(body)) else { return Err(nonsense()) };
        let Some(id) = env.raw_id(body) else { return Ok(Answer::Accepted) };
        let result = match &*method {
            "tools/list" => format!(r#"{{"tools":[{}]}}"#, skill.tool_json()).into_bytes(),
            "resources/list" => format!(r#"{{"resources":[{}]}}"#, skill.resource_json()).into_bytes(),
            "resources/templates/list" => br#"{"resourceTemplates":[]}"#.to_vec(),
            "resources/read" if env.param_str(body, "uri").is_some_and(|uri| *uri == *skill.uri()) => {
                json!({ "contents": [skill.contents()] }).to_string().into_bytes()
            }
            "resources/read" => return Ok(refusal(id, -32602, "Resource not found")),
            "tools/call" if env.param_str(body, "name").is_some_and(|name| *name == *skill.tool) => {
                self.call(skill, body, &env, extra, patience).await?
            }
            "tools/call" => return Ok(refusal(id, -32602, "Unknown tool")),
            "ping" => b"{}".to_vec(),
            _ => return Ok(refusal(id, -32601, "Method not found")),
        };
        Ok(Answer::Json(jsonrpc::response(id, &result).into()))
    }

    async fn call(
        &self,
        skill: &Skill,
        body: &[u8],
        env: &Envelope,
        extra: &[(HeaderName, HeaderValue)],
        patience: Patience,
    ) -> Result<Vec<u8>, UpstreamError> {
        let arguments = env.param(body, "arguments").filter(|raw| raw.starts_with(b"{")).unwrap_or(b"{}");
        let Some(worker) = &self.worker else {
            let text = skill.filled_in(arguments, self.most);
            let text = text.map_err(|_long| UpstreamError::TooLarge { what: "its answer", limit: self.most })?;
            return Ok(json!({ "content": [{ "type": "text", "text": text }] }).to_string().into_bytes());
        };
        let head = format!(r#"{{"tool":{},"input":"#, json_string(&skill.tool));
        let message = Bytes::from([head.as_bytes(), arguments, b"}"].concat());
        let outgoing = Outgoing { body: &message, method: "tools/call", name: None, extra };
        match worker.send(outgoing, patience).await? {
            Answer::Json(said) => checked(&said),
            Answer::Events(_) | Answer::Accepted => Err(not_an_answer()),
        }
    }
}

fn refusal(id: &[u8], code: i64, message: &str) -> Answer {
    Answer::Json(jsonrpc::error(Some(id), code, message, None).into())
}

fn not_an_answer() -> UpstreamError {
    UpstreamError::Protocol("its worker did not answer with {\"content\": […]}".into())
}

/// A worker's answer, if it is one that can be put into an envelope as it is.
fn checked(said: &[u8]) -> Result<Vec<u8>, UpstreamError> {
    let limits = ScanLimits { values: ANSWER_VALUES, depth: ANSWER_DEPTH, ..ScanLimits::default() };
    let is_one_object = matches!(scan::scan(said, limits), Ok(Document::Object(_)));
    let read = serde_json::from_slice::<Said<'_>>(said).ok().filter(|_| is_one_object);
    let read = read.ok_or_else(not_an_answer)?;
    let is_last_word = read.kind.is_none_or(|kind| kind.get() == "\"complete\"");
    if is_last_word { Ok(said.to_vec()) } else { Err(not_an_answer()) }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        config::UpstreamConfig,
        domain::{
            ids::{AccountId, RevisionId, ServerId},
            server::ServerSpec,
        },
        upstream::NetworkPolicy,
    };

    fn peer(document: &str) -> Rc<SkillPeer> {
        let skill = Skill {
            namespace: "acme".into(),
            name: "deploy-skill".into(),
            version: "1.0.0".into(),
            description: "Deploys.".into(),
            tool: "plan".into(),
            tool_description: "Plans.".into(),
            input_schema: r#"{"type":"object","properties":{"env":{}}}"#.into(),
            worker: None,
            secrets: Vec::new(),
            document: document.into(),
        };
        let config = UpstreamConfig::default();
        let names = (ServerId::generate(), "deploy-skill".into(), AccountId::generate());
        let def = ServerDef::new(names, (RevisionId::generate(), ServerSpec::for_skill(skill)), &config);
        let client = HttpClient::new(Arc::new(NetworkPolicy::new(false, Vec::new())), &config);
        SkillPeer::of(&client, &Arc::new(def), &[]).unwrap().unwrap()
    }

    async fn ask(peer: &SkillPeer, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": "a", "method": method, "params": params }).to_string();
        let patience = Patience::within(std::time::Duration::from_secs(5));
        match peer.send(&Bytes::from(body), &[], patience).await.unwrap() {
            Answer::Json(body) => serde_json::from_slice(&body).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[actix_rt::test]
    async fn a_document_is_a_tool_and_a_resource() {
        let peer = peer("# Deploy to {{env}}");
        let listed = ask(&peer, "tools/list", json!({})).await;
        assert_eq!(listed["result"]["tools"][0]["name"], "plan");
        let called = ask(&peer, "tools/call", json!({ "name": "plan", "arguments": { "env": "prod" } })).await;
        assert_eq!(called["result"]["content"][0]["text"], "# Deploy to prod");
        let read = ask(&peer, "resources/read", json!({ "uri": "skill://acme/deploy-skill/SKILL.md" })).await;
        assert_eq!(read["result"]["contents"][0]["text"], "# Deploy to {{env}}");
        for (method, params) in [
            ("tools/call", json!({ "name": "other" })),
            ("resources/read", json!({ "uri": "skill://acme/other/SKILL.md" })),
            ("prompts/list", json!({})),
        ] {
            assert!(ask(&peer, method, params).await["error"]["code"].is_i64(), "{method}");
        }
        let offer = offer(peer.def.spec.skill().unwrap());
        assert_eq!((offer.tools().len(), offer.list(Kind::Resources).items.len(), offer.dropped().len()), (1, 1, 0));
    }

    #[test]
    fn only_a_whole_answer_is_put_into_an_envelope() {
        assert!(checked(br#"{"content":[{"type":"text","text":"x"}],"isError":true}"#).is_ok());
        assert!(checked(br#"{"content":[],"resultType":"complete"}"#).is_ok());
        for bad in [
            r#"{}"#,
            r#"[]"#,
            r#"{"content":"text"}"#,
            r#"{"content":[]},"error":{"code":1}"#,
            r#"{"content":[],"content":[]}"#,
            r#"{"content":[],"resultType":"input_required"}"#,
            r#"{"content":[}"#,
        ] {
            assert!(checked(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
