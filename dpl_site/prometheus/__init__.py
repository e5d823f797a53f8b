"""`/api/prometheus/query_range`: a Prometheus' answer, or one from our own history where there is no Prometheus."""
