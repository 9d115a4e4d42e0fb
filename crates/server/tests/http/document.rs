//! Documents that are made by tests.

/// Compares a document with what it should say, or writes it anew if `ENGRAM_REFRESH` is set.
pub(crate) fn document(name: &str, expected: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    #[expect(clippy::disallowed_methods, reason = "whoever runs the test says whether the document is to be written")]
    let refresh = std::env::var_os("ENGRAM_REFRESH").is_some();
    if refresh {
        std::fs::write(&path, expected).expect("the document can be written");
        return;
    }
    let found = std::fs::read_to_string(&path).expect("the document is there");
    let differs = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "docs/{name} is not true any more, first here: {differs:?}. ENGRAM_REFRESH=1 writes it anew"
    );
}
