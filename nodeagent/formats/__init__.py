"""On-disk formats of a storage domain: domain and volume metadata, and the records that Ostler keeps there."""
