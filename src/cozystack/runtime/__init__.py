"""The controller runtime: scheduler, runner, controllers, leader election, all on an injected clock."""
