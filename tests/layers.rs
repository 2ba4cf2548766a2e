//! What ARCHITECTURE.md says of all files: imports run downwards only, and `unsafe` is where it is
//! said to be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lowest first.
const LAYERS: [&str; 6] = ["mem", "sys", "wire", "net", "engine", "py"];

fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The layers that a source names by a path from the crate's root.
fn uses(source: &str) -> Vec<&str> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1))
        .map(|path| path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap())
        .filter(|name| LAYERS.contains(name))
        .collect()
}

#[test]
fn imports_run_downwards() {
    let mut edges = 0;
    for (rank, layer) in LAYERS.iter().enumerate() {
        let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(layer));
        assert!(!files.is_empty(), "no layer {layer}");
        for file in files {
            let source = fs::read_to_string(&file).unwrap();
            assert!(
                !source.contains("super::super"),
                "{}: climbs out of its layer",
                file.display()
            );
            for used in uses(&source) {
                let below = LAYERS.iter().position(|name| *name == used).unwrap();
                assert!(below <= rank, "{}: {layer} uses {used}", file.display());
                edges += 1;
            }
        }
    }
    assert!(edges > 10, "the imports were not found");
}

#[test]
fn every_source_is_in_a_layer() {
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let path = file.to_string_lossy();
        let known = LAYERS.iter().any(|layer| path.contains(&format!("/src/{layer}/")));
        assert!(known || path.ends_with("/src/lib.rs"), "{path} is in no layer");
    }
}

#[test]
fn every_room_says_what_its_files_are() {
    let rooms = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let mut named = 0;
    for room in rooms.iter().filter(|path| path.ends_with("mod.rs")) {
        let source = fs::read_to_string(room).unwrap();
        let says = |name: &str| {
            let mut docs = source.lines().filter(|line| line.starts_with("//"));
            docs.any(|line| line.contains(&format!("`{name}`")))
        };
        for line in source.lines() {
            let words = line.trim_start_matches("pub ").strip_prefix("mod ");
            let Some(name) = words.and_then(|rest| rest.strip_suffix(';')) else { continue };
            assert!(says(name), "{}: {name} is not mentioned", room.display());
            named += 1;
        }
    }
    assert!(named > 50, "the files were not found");
}

/// `a/{b,c}` as `a/b` and `a/c`.
fn expanded(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let (choices, behind) = rest.split_once('}').expect("braces that end");
    choices.split(',').map(|choice| format!("{before}{choice}{behind}")).collect()
}

/// The files that ARCHITECTURE.md says `unsafe` is confined to.
fn said_to_be_unsafe(root: &Path) -> BTreeSet<PathBuf> {
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let (_, list) = text.split_once("`unsafe` is confined to ").expect("the list's first words");
    let (list, _) = list.split_once("; each says so").expect("the words behind the list");
    let named = list.split('`').skip(1).step_by(2).flat_map(expanded);
    let file = |name: String| {
        let is_beside = name.starts_with("tests/") || name.starts_with("benches/");
        root.join(if is_beside { "" } else { "src" }).join(name + ".rs")
    };
    named.map(file).collect()
}

#[test]
fn unsafe_when_a_file_allows_it_then_the_list_names_it_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rooms = ["src", "tests", "benches", "fuzz/fuzz_targets", "examples"];
    // In two pieces, because this is a source as well.
    let lint = concat!("(unsafe", "_code");
    let allows = |file: &PathBuf| fs::read_to_string(file).unwrap().contains(lint);
    let found: BTreeSet<_> =
        rooms.iter().flat_map(|room| sources(&root.join(room))).filter(allows).collect();
    let said = said_to_be_unsafe(root);
    let missing: Vec<_> = found.difference(&said).collect();
    let needless: Vec<_> = said.difference(&found).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md does not name {missing:?}");
    assert!(needless.is_empty(), "ARCHITECTURE.md names {needless:?}, which have nothing unsafe");
}
