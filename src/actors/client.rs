//! Clients that servers may ask something in the middle of a call, and the questions they have been asked. A question
//! goes out under an id of ours that nobody can guess; its answer arrives in a POST of its own, on any worker, and is
//! handed to whoever waits. Only the client that was asked can answer.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use dashmap::DashMap;
use tokio::sync::oneshot;

use crate::{
    domain::{ids::TokenId, random},
    protocol::{jsonrpc, scan::Envelope, session_id::ClientCapabilities},
};

/// A client with sessions of its own at legacy servers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Client {
    /// Tells it from every other; no credential.
    pub who: Arc<str>,
    /// Its token.
    pub token: TokenId,
    /// What it declared that it can be asked.
    pub capabilities: ClientCapabilities,
}

/// A client's answer to a question.
#[derive(Debug, Clone)]
pub struct ClientAnswer {
    body: Bytes,
    result: Option<Range<usize>>,
    error: Option<Range<usize>>,
}

impl ClientAnswer {
    /// From a response that was scanned.
    pub fn new(body: Bytes, env: &Envelope) -> Self {
        ClientAnswer { body, result: env.result.clone(), error: env.error.clone() }
    }
    /// The bare result, raw JSON; none if the client answered with an error.
    pub fn result(&self) -> Option<&[u8]> {
        self.body.get(self.result.clone()?)
    }
    /// The same answer to the request of the id `id` (raw JSON).
    pub fn to(&self, id: &[u8]) -> Vec<u8> {
        let error = self.error.clone().and_then(|range| self.body.get(range));
        match (self.result(), error) {
            (Some(result), _) => jsonrpc::response(id, result),
            (None, error) => {
                let error = error.unwrap_or(br#"{"code":-32603,"message":"no answer"}"#);
                [b"{\"jsonrpc\":\"2.0\",\"id\":".as_slice(), id, b",\"error\":", error, b"}"].concat()
            }
        }
    }
}

struct Waiting {
    who: Arc<str>,
    answer: oneshot::Sender<ClientAnswer>,
}

/// Questions that clients have not answered yet. Cloning is cheap.
#[derive(Clone, Default)]
pub struct Questions {
    open: Arc<DashMap<Box<str>, Waiting>>,
}

/// A question under way. Dropped, it cannot be answered any more.
pub struct Question {
    questions: Questions,
    id: Box<str>,
    answer: oneshot::Receiver<ClientAnswer>,
}

impl Questions {
    /// A question for the client `who`.
    pub fn ask(&self, who: &Arc<str>) -> Question {
        let secret: [u8; 16] = random::pooled();
        let id: Box<str> = format!("ask-{:032x}", u128::from_be_bytes(secret)).into();
        let (answer, receiver) = oneshot::channel();
        self.open.insert(id.clone(), Waiting { who: who.clone(), answer });
        Question { questions: self.clone(), id, answer: receiver }
    }

    /// The client `who` answered the question `id`. False when it was asked no such thing (any more).
    pub fn answered(&self, who: &str, id: &str, answer: ClientAnswer) -> bool {
        match self.open.remove_if(id, |_, waiting| *waiting.who == *who) {
            Some((_, waiting)) => waiting.answer.send(answer).is_ok(),
            None => false,
        }
    }

    /// Questions open now.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether no question is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Question {
    /// Its id, as raw JSON.
    pub fn id(&self) -> Vec<u8> {
        [b"\"", self.id.as_bytes(), b"\""].concat()
    }

    /// The answer; none when the question was withdrawn.
    pub async fn answer(&mut self) -> Option<ClientAnswer> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.questions.open.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> ClientAnswer {
        let body = Bytes::from_static(br#"{"jsonrpc":"2.0","id":"x","result":{"a":1}}"#);
        let crate::protocol::scan::Document::Object(env) =
            crate::protocol::scan::scan(&body, Default::default()).unwrap()
        else {
            panic!()
        };
        ClientAnswer::new(body, &env)
    }

    #[actix_rt::test]
    async fn only_who_was_asked_can_answer_and_only_once() {
        let questions = Questions::default();
        let mut question = questions.ask(&"alice".into());
        let id = question.id.clone();
        assert!(!questions.answered("bob", &id, answer()));
        assert!(!questions.answered("alice", "ask-1", answer()));
        assert!(questions.answered("alice", &id, answer()));
        assert!(!questions.answered("alice", &id, answer()));
        let answered = question.answer().await.unwrap();
        assert_eq!(answered.result(), Some(br#"{"a":1}"#.as_slice()));
        assert_eq!(answered.to(b"7"), br#"{"jsonrpc":"2.0","id":7,"result":{"a":1}}"#);
    }

    #[test]
    fn a_question_that_nobody_waits_for_is_forgotten() {
        let questions = Questions::default();
        let question = questions.ask(&"alice".into());
        assert_eq!(questions.len(), 1);
        drop(question);
        assert!(questions.is_empty());
    }
}
