//! `GET /_matrix/client/versions` (API Versions).

use engram_http::json::RawJson;

/// Every version of the specification whose endpoints the server's clients can rely on. Later versions only add
/// endpoints that clients look for by themselves, and those answer `M_UNRECOGNIZED` until they exist.
const VERSIONS: &str = r#"{
"versions":["r0.0.1","r0.1.0","r0.2.0","r0.3.0","r0.4.0","r0.5.0","r0.6.0","r0.6.1","v1.1","v1.2","v1.3","v1.4","v1.5","v1.6","v1.7","v1.8","v1.9","v1.10","v1.11","v1.12"],
"unstable_features":{"org.matrix.e2e_cross_signing":true,"org.matrix.msc2285.stable":true}
}"#;

pub(crate) fn get() -> RawJson<&'static str> {
    RawJson(VERSIONS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_answer_is_json() {
        let versions: serde_json::Value = serde_json::from_str(super::VERSIONS).expect("JSON");
        assert!(versions["versions"].as_array().is_some_and(|list| list.iter().any(|version| version == "v1.1")));
    }
}
