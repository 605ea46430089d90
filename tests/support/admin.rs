//! The admin API, as a client with a key.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Request, Response, Upstream};

/// A client of the admin API.
#[derive(Clone)]
pub struct Admin {
    pub address: SocketAddr,
    pub key: String,
}

/// An issued token.
#[derive(Debug, Clone)]
pub struct Issued {
    pub id: String,
    pub raw: String,
    pub answer: Value,
}

impl Admin {
    pub fn new(address: SocketAddr, key: &str) -> Self {
        Admin { address, key: key.into() }
    }
    pub fn request(&self, method: &'static str, path: &str, body: Option<&Value>) -> Request {
        let mut request = Request::new(method, format!("/api/v1/admin{path}")).bearer(&self.key);
        if let Some(body) = body {
            request = request.header("content-type", "application/json");
            request.body = body.to_string().into_bytes();
        }
        request
    }
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path, None).send(self.address)
    }
    #[track_caller]
    pub fn post(&self, path: &str, body: Value) -> Response {
        self.request("POST", path, Some(&body)).send(self.address)
    }
    #[track_caller]
    pub fn patch(&self, path: &str, body: Value) -> Response {
        self.request("PATCH", path, Some(&body)).send(self.address)
    }
    #[track_caller]
    pub fn delete(&self, path: &str) -> Response {
        self.request("DELETE", path, None).send(self.address)
    }

    /// Makes a workspace.
    #[track_caller]
    pub fn workspace(&self, slug: &str) {
        self.post("/workspaces", json!({ "slug": slug })).expect(201);
    }
    /// Defines a server.
    #[track_caller]
    pub fn server(&self, slug: &str, url: &str) {
        self.server_with(slug, url, json!({}));
    }
    /// Defines a server with more members.
    #[track_caller]
    pub fn server_with(&self, slug: &str, url: &str, more: Value) {
        let mut body = json!({ "slug": slug, "url": url });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.post("/mcp-servers", body).expect(201);
    }
    /// Puts a server into a workspace.
    #[track_caller]
    pub fn install(&self, workspace: &str, server: &str) {
        self.post(&format!("/workspaces/{workspace}/servers"), json!({ "server": server })).expect(201);
    }
    /// Defines and installs.
    #[track_caller]
    pub fn add(&self, workspace: &str, slug: &str, upstream: &Upstream) {
        self.server(slug, &upstream.url());
        self.install(workspace, slug);
    }
    /// Issues a token.
    #[track_caller]
    pub fn token(&self, workspace: &str, name: &str) -> Issued {
        self.token_with(workspace, json!({ "name": name }))
    }
    #[track_caller]
    pub fn token_with(&self, workspace: &str, body: Value) -> Issued {
        let answer = self.post(&format!("/workspaces/{workspace}/tokens"), body).expect(201).json();
        let text = |name: &str| answer[name].as_str().expect("a text").to_owned();
        Issued { id: text("id"), raw: text("token"), answer }
    }
    /// Revokes a token by its id.
    #[track_caller]
    pub fn revoke(&self, workspace: &str, id: &str) -> Response {
        let answer = self.delete(&format!("/workspaces/{workspace}/tokens/{id}"));
        assert!((200..300).contains(&answer.status), "{}", answer.text());
        answer
    }
    /// Sets a secret.
    #[track_caller]
    pub fn secret(&self, server: &str, name: &str, value: &str) {
        self.secret_with(server, json!({ "name": name, "value": value }));
    }
    #[track_caller]
    pub fn secret_with(&self, server: &str, body: Value) {
        let answer = self.post(&format!("/mcp-servers/{server}/secrets"), body);
        assert!((200..300).contains(&answer.status), "{}", answer.text());
    }
}
