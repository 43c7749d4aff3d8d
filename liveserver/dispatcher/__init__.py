"""Takes in what is published, and keeps the subscription table: stateless, any one will do."""
