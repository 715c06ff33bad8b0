"""A campaign: an audit cut into shards that are planned once, played in any order, and sealed."""

from blackbox.campaign.campaign import Campaign
from blackbox.campaign.manifest import Shard
from blackbox.campaign.opening import open_campaign
from blackbox.campaign.places import working_folder

__all__ = ["Campaign", "Shard", "open_campaign", "working_folder"]
