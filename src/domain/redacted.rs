//! What may be told to whoever helps: where a server is, without what may open it, and a text without credentials.

use url::Url;

use crate::domain::token::Credential;

/// What stands where a credential stood.
const TAKEN_OUT: &str = "[taken out]";
/// Characters after a prefix from which on it is a credential and no word; shorter secrets are not looked for.
pub const SHORTEST: usize = 8;

/// Where a server is, without what may open it: the path of an address is at some providers all that it takes, and a
/// program's arguments may hold anything.
pub fn place(place: &str) -> String {
    if let Some(url) = Url::parse(place).ok().filter(Url::has_host) {
        let end = if url.path() == "/" && url.query().is_none() { "" } else { "/…" };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        return format!("{}://{}{port}{end}", url.scheme(), url.host_str().unwrap_or_default());
    }
    let mut words = place.split(' ');
    let known: Vec<&str> = words.by_ref().take(2).collect();
    let end = if words.next().is_some() { " …" } else { "" };
    format!("{}{end}", known.join(" "))
}

/// The text without what is known to be a credential, and without what has the form of one.
pub fn without_credentials(text: &str, known: &[String]) -> String {
    let mut text = known.iter().fold(text.to_owned(), |text, secret| text.replace(secret, TAKEN_OUT));
    for kind in Credential::ALL {
        let mut clean = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once(kind.prefix()) {
            let length = after.bytes().take_while(u8::is_ascii_alphanumeric).count();
            clean.push_str(before);
            clean.push_str(if length < SHORTEST { kind.prefix() } else { TAKEN_OUT });
            rest = if length < SHORTEST { after } else { after.get(length..).unwrap_or_default() };
        }
        clean.push_str(rest);
        text = clean;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_servers_place_only_the_machine_and_the_program_are_told() {
        for (place, told) in [
            ("https://mcp.example.com:8443/s/0123456789abcdef/mcp?key=***", "https://mcp.example.com:8443/…"),
            ("https://mcp.example.com/", "https://mcp.example.com"),
            ("stdio: /usr/bin/npx -y server --dsn postgres://u:p@h/db", "stdio: /usr/bin/npx …"),
            ("stdio: /usr/bin/toy", "stdio: /usr/bin/toy"),
        ] {
            assert_eq!(super::place(place), told);
        }
    }

    #[test]
    fn whatever_looks_like_a_credential_is_taken_out_and_words_are_not() {
        let raw = "mwt_0123456789ABCDEFGHIJKLMNOPQRST1cCDCz";
        let text = format!("a {raw}, aak_{}, \"inv_abcdefgh\" mwt_… mwt_short opened with sesame-oil", &raw[4..]);
        let clean = without_credentials(&text, &["sesame-oil".into()]);
        assert_eq!(clean, "a [taken out], [taken out], \"[taken out]\" mwt_… mwt_short opened with [taken out]");
    }
}
