"""From a batch of stream entries to one transaction: decode, classify, plan, write."""
