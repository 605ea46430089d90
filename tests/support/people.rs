//! People: a gateway with a team, somebody in a browser, and the command line in a profile of its own.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
};

use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use super::{Admin, Request, Response, TestGateway, database::fresh_postgres, process::Setup};

/// A good password.
pub const PASSWORD: &str = "violet tram sings";

/// How a gateway with people is started: the owner is `acme`, hashing is cheap.
pub fn setup() -> Setup {
    TestGateway::setup()
        .set("server.namespace", "acme")
        .set("people.password_memory_kib", 64)
        .set("people.password_rounds", 1)
}

/// What must hold on both databases: on SQLite, then on Postgres.
pub fn on_both(test: impl Fn(Setup)) {
    test(setup());
    if let Some(url) = fresh_postgres() {
        test(setup().env("AEROSTACK_DATABASE_URL", &url));
    }
}

/// Somebody in a browser that keeps the session's cookie.
#[derive(Clone)]
pub struct Browser {
    pub address: SocketAddr,
    pub cookie: Option<String>,
    /// What the session's pages show and its changes bring back.
    pub csrf: Option<String>,
}

impl Browser {
    pub fn new(address: SocketAddr) -> Self {
        Browser { address, cookie: None, csrf: None }
    }
    fn with_cookie(&self, request: Request) -> Request {
        match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        }
    }
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Response {
        let request = self.with_cookie(Request::get(path));
        self.keep(request.send(self.address))
    }
    /// A form, as a browser sends it from a page of the gateway.
    #[track_caller]
    pub fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Response {
        let csrf = self.csrf.iter().map(|token| ("csrf", token.as_str()));
        let fields: Vec<_> = fields.iter().copied().chain(csrf).collect();
        let request = self.form(path, &fields).header("origin", &format!("http://{}", self.address));
        self.keep(request.header("sec-fetch-site", "same-origin").send(self.address))
    }
    /// The same without saying from where, and without the session's token.
    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> Request {
        let mut request =
            self.with_cookie(Request::new("POST", path)).header("content-type", "application/x-www-form-urlencoded");
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        request.body = body.finish().into_bytes();
        request
    }
    /// A call of the admin API with the cookie, as a page makes it.
    #[track_caller]
    pub fn api(&self, method: &'static str, path: &str, body: Option<&Value>) -> Response {
        let request = self.api_request(method, path, body).header("sec-fetch-site", "same-origin");
        let csrf = self.csrf.iter();
        csrf.fold(request, |request, token| request.header("x-csrf-token", token)).send(self.address)
    }
    pub fn api_request(&self, method: &'static str, path: &str, body: Option<&Value>) -> Request {
        let mut request = self.with_cookie(Request::new(method, format!("/api/v1/admin{path}")));
        if let Some(body) = body {
            request = request.header("content-type", "application/json");
            request.body = body.to_string().into_bytes();
        }
        request
    }
    fn keep(&mut self, response: Response) -> Response {
        if let Some(cookie) = response.header("set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default().to_owned();
            self.cookie = Some(pair).filter(|pair| !pair.ends_with('='));
            self.csrf = self.cookie.is_some().then(|| self.shown_token());
        }
        response
    }
    /// The token in a page's form.
    #[track_caller]
    fn shown_token(&self) -> String {
        let page = self.with_cookie(Request::get("/account")).send(self.address).expect(200).text();
        let field = page.split("name=\"csrf\" value=\"").nth(1).expect("a field");
        field.split('"').next().unwrap_or_default().to_owned()
    }
    /// Opens an invitation's link: what the page's script does with the code behind the `#`.
    #[track_caller]
    pub fn open_invitation(&mut self, code: &str) -> Response {
        self.get("/join").expect(200);
        self.submit("/join", &[("do", "look"), ("code", code)])
    }
    /// Signs in on the page.
    #[track_caller]
    pub fn sign_in(&mut self, username: &str, password: &str) {
        let answer = self.submit("/signin", &[("username", username), ("password", password)]);
        assert_eq!(answer.status, 303, "{}", answer.text());
        assert!(self.cookie.is_some());
    }
}

impl TestGateway {
    /// Runs a command with a configuration folder of its own.
    pub fn aerostack(&self, who: &str, arguments: &[&str], stdin: &str) -> (i32, String, String) {
        use std::io::Write as _;
        let mut child = self.command_of(who, arguments).stdin(Stdio::piped()).spawn().expect("it starts");
        child.stdin.take().expect("its input").write_all(stdin.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("its output");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }
    /// The command, not yet run; the owner is `owner`.
    pub fn command_of(&self, who: &str, arguments: &[&str]) -> Command {
        let mut command = self.setup.command();
        if who != "owner" {
            command.env("AEROSTACK_CONFIG_DIR", self.setup.config_dir().with_file_name(format!("config-{who}")));
        }
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
    /// Changes the database behind the gateway's back, as time would.
    #[track_caller]
    pub fn look_back(&self, statement: &str) {
        assert!(self.behind_its_back(statement) > 0, "{statement} changed nothing");
    }
    /// Changes the database's schema behind the gateway's back.
    #[track_caller]
    pub fn schema(&self, statement: &str) {
        self.behind_its_back(statement);
    }
    fn behind_its_back(&self, statement: &str) -> u64 {
        let file = format!("sqlite://{}", self.setup.data_dir().join("aerostack.db").display());
        let url = self.setup.environment("AEROSTACK_DATABASE_URL").unwrap_or(file);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let db = sea_orm::Database::connect(url).await.expect("the gateway's database");
            let done = db.execute_unprepared(statement).await.expect("a statement");
            db.close().await.expect("closed");
            done.rows_affected()
        })
    }
    /// A client of the admin API.
    pub fn with_key(&self, key: &str) -> Admin {
        Admin::new(self.address, key)
    }
    /// Invites and gives the link's code.
    #[track_caller]
    pub fn invite(&self, body: Value) -> String {
        let made = self.admin().post("/team/invites", body).expect(201).json();
        let link = made["link"].as_str().expect("a link").to_owned();
        link.rsplit('#').next().expect("a code").to_owned()
    }
    /// Accepts a code as a new account.
    pub fn accept(&self, code: &str, username: &str) -> Response {
        let body = json!({ "username": username, "password": PASSWORD, "api_key_name": "test" });
        Admin { address: self.address, key: String::new() }
            .request("POST", &format!("/team/invites/{code}/accept"), Some(&body))
            .without("authorization")
            .send(self.address)
    }
    /// Lets somebody in: their key, and what accepting gave.
    #[track_caller]
    pub fn member(&self, username: &str, role: &str, workspace: Option<&str>) -> (Admin, Value) {
        let mut body = json!({ "email": format!("{username}@example.com"), "role": role });
        if let Some(slug) = workspace {
            body["workspace"] = json!(slug);
        }
        let joined = self.accept(&self.invite(body), username).expect(201).json();
        (self.with_key(joined["api_key"].as_str().expect("a key")), joined)
    }
}
