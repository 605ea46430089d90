//! A backup that is not what was written is found before anything of it is used.

use std::{fs, io::Read as _, path::Path};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};

use super::{
    audit::{said, sql},
    backup::{backup, create, restore, shelf, text, toy},
};
use crate::support::{TestGateway, process::Setup};

/// With the key that is in another gateway's folder.
fn with_key_of(setup: &Setup) -> Setup {
    let key = fs::read_to_string(setup.data_dir().join("secrets.key")).unwrap();
    TestGateway::setup().env("WORKFLOW_SECRETS_KEY", key.trim())
}

/// It is found by whoever looks and refused by whoever would restore it, and nothing is written.
#[track_caller]
fn refused(file: &Path, other: &Setup, words: &str) {
    for output in [backup(other, &["verify", text(file)]), restore(file, other)] {
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(words), "{words}: {}", said(&output));
    }
    assert!(!other.data_dir().exists(), "nothing was written");
}

#[test]
fn a_flipped_byte_and_a_missing_end_are_found() {
    let (place, _upstream) = toy(TestGateway::setup());
    let shelf = shelf();
    let file = shelf.path().join("b.tar.gz");
    create(&place.gateway.setup, &file, &[]);
    let (whole, other) = (fs::read(&file).unwrap(), with_key_of(&place.gateway.setup));
    let last = whole.len() - 1;
    let spread = (1..=8).map(|n| whole.len() * n / 9);
    for at in [0, 4, 8, 9, 10, last - 7, last - 3, last].into_iter().chain(spread) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x55;
        fs::write(&file, &flipped).unwrap();
        refused(&file, &other, "is not a whole backup");
    }
    for length in [0, 5, 10, whole.len() / 2, last - 8, last] {
        fs::write(&file, &whole[..length]).unwrap();
        refused(&file, &other, "is not a whole backup");
    }
    fs::write(&file, [whole.as_slice(), b"more"].concat()).unwrap();
    refused(&file, &other, "something follows its end");
    fs::write(&file, &whole).unwrap();
    let output = backup(&other, &["verify", text(&file)]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let absent = backup(&other, &["verify", text(&shelf.path().join("absent"))]);
    assert_eq!(absent.status.code(), Some(2), "{}", said(&absent));
}

/// Packs a backup anew with some of its files changed.
fn repack(whole: &[u8], change: impl Fn(&str, Vec<u8>) -> (String, Vec<u8>)) -> Vec<u8> {
    let mut out = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for entry in tar::Archive::new(GzDecoder::new(whole)).entries().unwrap() {
        let mut entry = entry.unwrap();
        let (name, mut bytes) = (entry.path().unwrap().display().to_string(), Vec::new());
        entry.read_to_end(&mut bytes).unwrap();
        let (name, bytes) = change(&name, bytes);
        let mut header = tar::Header::new_ustar();
        // As it is: names that leave the folder, too.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_cksum();
        out.append(&header, bytes.as_slice()).unwrap();
    }
    out.into_inner().unwrap().finish().unwrap()
}

fn replaced(bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    String::from_utf8(bytes).unwrap().replace(from, to).into_bytes()
}

#[test]
fn a_backup_that_somebody_has_put_together_anew_is_refused() {
    let (place, _upstream) = toy(TestGateway::setup());
    let setup = &place.gateway.setup;
    fs::write(setup.data_dir().join("config.toml"), "[limits]\nstreams = 777\n").unwrap();
    let shelf = shelf();
    let file = shelf.path().join("b.tar.gz");
    create(setup, &file, &[]);
    let (whole, other) = (fs::read(&file).unwrap(), with_key_of(setup));
    let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
    fs::write(&file, repack(&whole, |name, bytes| (name.into(), bytes))).unwrap();
    let same = backup(&other, &["verify", text(&file)]);
    assert_eq!(same.status.code(), Some(0), "packing alone changes nothing: {}", said(&same));

    let list = |from: &str, to: &str| {
        repack(&whole, |name, bytes| match name {
            "manifest.json" => (name.into(), replaced(bytes, from, to)),
            _ => (name.into(), bytes),
        })
    };
    let cases: [(Vec<u8>, &str); 5] = [
        (list(&version, "\"version\": \"9.9.9\""), "was not sealed by this installation"),
        (list("\"config.toml\"", "\"../config.toml\""), "no place in a data folder"),
        (list(&aerostack::store::snapshot::schema(), "m29991231_000001_later"), "was made by a newer aerostack"),
        (
            repack(&whole, |name, bytes| match name {
                "config.toml" => (name.into(), replaced(bytes, "777", "778")),
                _ => (name.into(), bytes),
            }),
            "config.toml is not what its list says",
        ),
        (
            repack(&whole, |name, bytes| match name {
                "config.toml" => ("../config.toml".into(), bytes),
                _ => (name.into(), bytes),
            }),
            "something else stands where config.toml should be",
        ),
    ];
    for (bytes, words) in cases {
        fs::write(&file, bytes).unwrap();
        refused(&file, &other, words);
    }
}

#[test]
fn a_broken_audit_log_is_copied_as_it_is_and_said() {
    let (place, _upstream) = toy(TestGateway::setup());
    let setup = &place.gateway.setup;
    let change = "UPDATE audit_entries SET actor = 'user:bob@acme' WHERE seq = 2";
    sql(&super::audit::sqlite(&setup.data_dir()), change);
    let shelf = shelf();
    let file = shelf.path().join("b.tar.gz");
    let made = create(setup, &file, &[]);
    assert!(made["audit_broken"].as_str().unwrap().contains("entry 2"), "{made}");
    let other = with_key_of(setup);
    let output = backup(&other, &["verify", text(&file)]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("entry 2"), "{}", said(&output));
    let output = restore(&file, &other);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("entry 2"), "{}", said(&output));
    other.start().editor("eng", &place.token.raw).list().expect(200);
}
