"""Stand-in of the tests."""


class AddAlarm:
    input_parameters = ("token", "time")

    def __init__(self, database):
        self.database = database

    def call(self, token, time):
        hour = int(time.split(":")[0])  # a defect: ValueError for a time that is none
        self.database[token].append(hour)
        return {"alarms": self.database[token]}
