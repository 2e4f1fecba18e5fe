"""Plans as files and as text: canonical form and digest, encoding, strict decoding, rendering. Pure."""
