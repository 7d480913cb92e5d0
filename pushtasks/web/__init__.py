"""What a webapp2 application needs to serve tasks and pages."""
