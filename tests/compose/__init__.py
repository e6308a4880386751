"""docker-compose.sentinel.yml and the files beside it."""
