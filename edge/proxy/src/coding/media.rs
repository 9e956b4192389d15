//! Media types that are worth compressing.

/// Whether bodies of this `Content-Type` are compressed: text, data in text, and formats that aren't compressed
/// by themselves. Not event streams, whose events mustn't wait for each other.
pub(crate) fn is_compressible(content_type: &[u8]) -> bool {
    let essence = content_type
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    let essence = essence.trim_ascii().to_ascii_lowercase();
    let Some(slash) = essence.iter().position(|byte| *byte == b'/') else {
        return false;
    };
    let (kind, subtype) = essence.split_at(slash);
    let subtype = subtype.get(1..).unwrap_or_default();
    let suffix = subtype.rsplit(|byte| *byte == b'+').next().unwrap_or_default();
    if suffix.len() < subtype.len() && matches!(suffix, b"json" | b"xml" | b"text" | b"yaml" | b"json-seq") {
        return true;
    }
    match kind {
        b"text" => subtype != b"event-stream",
        b"application" => matches!(
            subtype,
            b"ecmascript"
                | b"graphql"
                | b"javascript"
                | b"json"
                | b"json-seq"
                | b"json5"
                | b"jsonl"
                | b"msword"
                | b"rtf"
                | b"sql"
                | b"toml"
                | b"vnd.ms-excel"
                | b"vnd.ms-fontobject"
                | b"vnd.ms-powerpoint"
                | b"wasm"
                | b"x-font-opentype"
                | b"x-font-otf"
                | b"x-font-truetype"
                | b"x-font-ttf"
                | b"x-javascript"
                | b"x-ndjson"
                | b"x-sh"
                | b"x-tar"
                | b"x-yaml"
                | b"xml"
                | b"xml-dtd"
                | b"yaml"
        ),
        // WOFF and WOFF2 are compressed.
        b"font" => matches!(subtype, b"collection" | b"otf" | b"sfnt" | b"ttf"),
        b"image" => matches!(subtype, b"bmp" | b"vnd.microsoft.icon" | b"x-icon" | b"x-ms-bmp"),
        b"model" => matches!(subtype, b"gltf-binary" | b"obj" | b"stl"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_what_is_like_it_is_compressed() {
        for compressed in [
            "text/html",
            "TEXT/HTML; charset=utf-8",
            "text/css",
            "text/plain",
            "application/json",
            "application/problem+json",
            "application/javascript ; x=1",
            "application/wasm",
            "image/svg+xml",
            "application/rss+xml",
            "font/ttf",
            "application/vnd.ms-fontobject",
            "image/x-icon",
        ] {
            assert!(is_compressible(compressed.as_bytes()), "{compressed}");
        }
        for left in [
            "text/event-stream",
            "image/png",
            "image/jpeg",
            "video/mp4",
            "font/woff",
            "font/woff2",
            "application/zip",
            "application/gzip",
            "application/octet-stream",
            "application/grpc",
            "application/grpc+proto",
            "multipart/byteranges",
            "text",
            "json",
            "",
        ] {
            assert!(!is_compressible(left.as_bytes()), "{left}");
        }
    }
}
